"""What every model is: its parts, what it needs and takes. All that lists models reads it here.

A model is added by its folder and its entry in `MODELS`. Modules are imported when they are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from labels.names import did_you_mean
from models.errors import UnknownModelError

if TYPE_CHECKING:
    from models.base import Segmenter, Trainer

Part = Literal["segmenter", "trainer", "run"]

WHAT: dict[Part, str] = {
    "segmenter": "segmenter",
    "trainer": "trainable model",
    "run": "trained model",
}
"""What a model with a part is called."""


@dataclass(frozen=True)
class ModelSpec:
    """A model as it is known without loading it; parts are named as ``"module:attribute"``.

    Parameters
    ----------
    about : str
        What it is, in one line for people.
    segmenter : str, optional
        Segmenter that needs no run: a dataclass of flat options.
    trainer : str, optional
        A dataclass of flat options, see `models.base.Trainer`.
    run : str, optional
        Function from a finished run's folder to a segmenter.
    needs : tuple of str
        Packages by the name that pip knows them by.
    available : str, optional
        Function that tells whether what is no package is on this machine, and what is missing.
    weights : str, optional
        Function from the segmenter's options to the file of weights that is not part of this
        package, or None.
    channels : {"one", "several"}
        How many channels it takes.
    """

    about: str
    segmenter: str | None = None
    trainer: str | None = None
    run: str | None = None
    needs: tuple[str, ...] = ()
    available: str | None = None
    weights: str | None = None
    channels: Literal["one", "several"] = "one"

    def missing(self) -> str:
        """Return what is missing on this machine and how to get it; empty when nothing is."""
        lacking = [name for name in self.needs if not _installed(name)]
        if lacking:
            return f"not installed: {', '.join(lacking)}; do: pip install {' '.join(lacking)}"
        if self.available is None:
            return ""
        ready, why = imported(self.available)()
        return "" if ready else str(why)

    def outside_weights(self, options: Mapping[str, Any]) -> Path | None:
        """Return the file that the segmenter takes and that is no part of this package."""
        found: Path | None = None if self.weights is None else imported(self.weights)(options)
        return found


MODELS: dict[str, ModelSpec] = {
    "cellpose": ModelSpec(
        about="Cellpose-SAM, pretrained on many kinds of cells (Pachitariu et al. 2025)",
        segmenter="models.cellpose:CellposeSegmenter",
        trainer="models.cellpose:CellposeTrainer",
        run="models.cellpose:load_run",
        needs=("cellpose", "torch"),
        available="models.cellpose:available",
        weights="models.cellpose:weights_of",
        channels="several",
    ),
    "starter": ModelSpec(
        about="the U-Net that ships, trained on drawn nuclei only",
        segmenter="models.starter:StarterSegmenter",
        needs=("torch", "safetensors"),
    ),
    "classical": ModelSpec(
        about="thresholds and watershed; nothing is learned",
        segmenter="models.classical:ClassicalSegmenter",
        needs=("scikit-image", "edt", "connected-components-3d"),
    ),
    "stardist3d": ModelSpec(
        about="StarDist 3D: star-convex nuclei (Weigert et al. 2020)",
        trainer="models.stardist3d:StarDist3DTrainer",
        run="models.stardist3d:load_run",
        needs=("stardist", "csbdeep", "tensorflow", "tf-keras"),
    ),
    "stardist2d": ModelSpec(
        about="StarDist 2D: star-convex objects, slice by slice (Schmidt et al. 2018)",
        trainer="models.stardist2d:StarDist2DTrainer",
        run="models.stardist2d:load_run",
        needs=("stardist", "csbdeep", "tensorflow", "tf-keras"),
    ),
    "unet3d": ModelSpec(
        about="a 3D U-Net of nucleus, edge and background",
        trainer="models.unet3d:UNet3DTrainer",
        run="models.unet3d:load_run",
        needs=("torch", "safetensors"),
        channels="several",
    ),
    "smp2d": ModelSpec(
        about="2D networks for several classes, slice by slice (segmentation-models-pytorch)",
        trainer="models.smp2d:SMP2DTrainer",
        run="models.smp2d:load_run",
        needs=("torch", "safetensors", "segmentation-models-pytorch", "timm"),
        channels="several",
    ),
}
"""Every model by the name that configs and the command line use."""


def imported(path: str) -> Any:
    """Return what ``"module:attribute"`` names."""
    module, attribute = path.split(":")
    return getattr(import_module(module), attribute)


def models_with(part: Part) -> dict[str, str]:
    """Return the models that have a part, and what each of them is."""
    return {name: spec.about for name, spec in MODELS.items() if getattr(spec, part) is not None}


def check_model(name: str, part: Part) -> None:
    """Refuse a name that no model with this part has.

    Raises
    ------
    UnknownModelError
        The message names the nearest and all valid ones.
    """
    known = models_with(part)
    if name not in known:
        raise _unknown(WHAT[part], name, known)


def part_of(name: str, part: Part) -> Any:
    """Return a part of the model `name`; see `check_model`."""
    check_model(name, part)
    return imported(getattr(MODELS[name], part))


def spec_of(name: str) -> ModelSpec:
    """Return all that is known of a model.

    Raises
    ------
    UnknownModelError
    """
    if name not in MODELS:
        raise _unknown("model", name, MODELS)
    return MODELS[name]


def one_channel(name: str) -> bool:
    """Whether the model takes one channel only."""
    return spec_of(name).channels == "one"


def segmenter_class(name: str) -> type[Segmenter]:
    """Return the segmenter class that `name` stands for."""
    found: type[Segmenter] = part_of(name, "segmenter")
    return found


def trainer_class(name: str) -> type[Trainer]:
    """Return the trainer class that `name` stands for."""
    found: type[Trainer] = part_of(name, "trainer")
    return found


def load_run(model: str, run_folder: Path) -> Segmenter:
    """Return the segmenter that a finished run's folder holds."""
    segmenter: Segmenter = part_of(model, "run")(run_folder)
    return segmenter


def _unknown(what: str, name: str, known: Mapping[str, Any]) -> UnknownModelError:
    near = did_you_mean(name, known)
    return UnknownModelError(
        f"unknown {what} {name!r}: expected one of {', '.join(sorted(known))}{near}"
    )


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
