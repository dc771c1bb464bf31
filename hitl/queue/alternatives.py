"""Other segmentations of a project's fields: other settings, other models, other views."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.views import LabelsView
from hitl.prediction.predict import cached_prediction
from hitl.prediction.predictor import Predictor
from hitl.prediction.segmenters import segmenter_name
from hitl.project.folder import Project
from hitl.project.reporter import Reporter, Silent
from hitl.project.runs import read_card
from labels.hashing import values_sha256
from labels.numbers import number_of
from labels.progress import Progress, no_progress
from labels.spacing import Spacing
from models.base import Segmentation, Segmenter
from models.registry import segmenter_class, spec_of
from models.several_classes import for_class

CLASSICAL = "classical"

VARIANTS: Mapping[str, Mapping[str, float]] = {
    "sensitive": {"min_significance": 3.0, "min_contrast": 0.1, "min_volume": 0.03},
    "fine": {"seed_scale": 0.6, "merge_depth": 0.1},
    "coarse": {"seed_scale": 1.0, "merge_depth": 0.4},
    "small": {
        "seed_scale": 0.6,
        "merge_depth": 0.1,
        "seed_distance": 0.25,
        "min_significance": 3.0,
        "min_contrast": 0.05,
        "min_volume": 0.02,
        "level": 0.36,
    },
    "smooth": {"smooth": 0.16, "level": 0.5},
    "dim": {"power": 0.5, "level": 0.36, "background_scale": 0.6},
    "linear": {"power": 1.0},
}
"""Other settings of the classical segmenter, each wrong in its own way."""

VIEWS: Mapping[str, tuple[tuple[int, ...], int, float]] = {
    "flipped": ((0, 1), 0, 1.0),
    "turned": ((), 1, 1.0),
    "darker": ((2,), 2, 0.8),
}
"""Views of the image: axes that are flipped, quarter turns in xy, exponent on the intensities."""


@dataclass(frozen=True)
class ViewedSegmenter:
    """A segmenter that is shown another view of the image; its labels are turned back.

    Parameters
    ----------
    segmenter : Segmenter
    view : str
        A key of `VIEWS`.
    """

    segmenter: Segmenter
    view: str

    @property
    def most_channels(self) -> int | None:
        """How many channels the segmenter takes, where it says so."""
        return getattr(self.segmenter, "most_channels", None)

    @property
    def name(self) -> str:
        """The segmenter's name and the view's."""
        return f"{self.segmenter.name}@{self.view}"

    def describe(self) -> dict[str, Any]:
        """Return what the segmenter says of itself, and the view."""
        return {**self.segmenter.describe(), "view": self.view, "how": repr(VIEWS[self.view])}

    def of_class(self, class_name: str) -> ViewedSegmenter:
        """Return the segmenter of a class that is shown the same view."""
        return replace(self, segmenter=for_class(self.segmenter, class_name))

    def segment(
        self, image: NDArray[Any], spacing_um: Spacing, *, progress: Progress = no_progress
    ) -> Segmentation:
        """Segment the view and turn its labels back; see `models.base.Segmenter`."""
        flips, turns, power = VIEWS[self.view]
        # A quarter turn swaps y and x, which have one voxel size in microscopes but need not.
        turns = turns if turns % 2 == 0 or spacing_um[1] == spacing_um[2] else 2
        seen = np.ascontiguousarray(
            np.rot90(np.flip(_darkened(image, power), tuple(a + 1 for a in flips)), turns, (2, 3))
        )
        found = self.segmenter.segment(seen, spacing_um, progress=progress)
        back = np.flip(np.rot90(found.labels, -turns, (1, 2)), flips)
        return replace(found, labels=np.ascontiguousarray(back), probability=None)


def _darkened(image: NDArray[Any], power: float) -> NDArray[Any]:
    """Bend the intensities of each channel between the smallest and the largest, which stay."""
    if power == 1.0:
        return image
    low, high = (end(image, axis=(1, 2, 3), keepdims=True) for end in (np.min, np.max))
    share = (image.astype(np.float32) - low) / np.maximum(high - low, 1e-12)
    return np.asarray(low + (high - low) * share ** (1 / power), np.float32)


@dataclass(frozen=True)
class Way:
    """One way to segment a project's fields; its model is not loaded before it is used.

    Parameters
    ----------
    name : str
    model : str
        A run's id, or a segmenter's name.
    settings : str
        All that it depends on, as far as files and the config tell without loading a model.
    variant : str
        What is changed, for `Predictor.variant`; empty for nothing.
    change : callable, optional
        From the model's segmenter to the changed one.
    """

    name: str
    model: str
    settings: str
    variant: str = ""
    change: Callable[[Any], Segmenter] | None = None

    def changed(self, variant: str, how: object, change: Callable[[Any], Segmenter]) -> Way:
        """Return this way with its segmenter changed."""
        settings = values_sha256(self.settings, variant, repr(how))
        return Way(f"{self.name}@{variant}", self.model, settings, variant, change)


class Alternatives:
    """What can segment a project's fields in another way.

    The classical segmenter as configured and in every variant, the bootstrap's segmenter where
    that is another, the last finished run of each kind of model, and views of the last run (of
    the classical segmenter where there is none). A run is asked about the classes that it was
    trained on.

    Parameters
    ----------
    project : Project
    reporter : Reporter
    """

    def __init__(self, project: Project, reporter: Reporter) -> None:
        self._project, self._reporter = project, reporter
        self._runs = [(folder, read_card(folder)) for folder in project.finished_runs()]
        self._ways: dict[str, tuple[Way, ...]] = {}
        self._loaded: dict[str, Predictor] = {}

    def ways(self, class_name: str) -> tuple[Way, ...]:
        """Return the ways to segment a class."""
        if class_name not in self._ways:
            self._ways[class_name] = self._of_class(class_name)
        return self._ways[class_name]

    def settings(self, class_name: str) -> str:
        """Return a digest of all that the segmentations of a class depend on, but for its image."""
        return values_sha256(
            *(part for w in self.ways(class_name) for part in (w.name, w.settings))
        )

    def segmentations(
        self, view: LabelsView, made_by: str = "", progress: Progress = no_progress
    ) -> dict[str, NDArray[np.uint32]]:
        """Segment one time point in every way that takes it; each is computed once and then read.

        Parameters
        ----------
        view : LabelsView
        made_by : str
            The model that made the labels at hand: it is left out, since it agrees with itself.
        progress : callable, optional

        Returns
        -------
        dict of str to ndarray of uint32, shape (Z, Y, X)
            By the name of what made it.
        """
        wanted = [way for way in self.ways(view.info.class_name) if way.name != made_by]
        found = {}
        for number, way in enumerate(wanted):
            progress(number, len(wanted), f"{view.name}: segments with {way.name}")
            predictor = self._load(way)
            if predictor.takes(view.info):
                found[way.name] = cached_prediction(self._project, predictor, view)
        if not found:
            self._reporter.note(
                f"{view.info.address}: nothing else segments its "
                f"{number_of(len(view.info.seen), 'channel')}, "
                "so what is listed goes by shape and light alone"
            )
        return found

    def _of_class(self, class_name: str) -> tuple[Way, ...]:
        config = self._project.config
        classical = self._segmenter(CLASSICAL, class_name)
        found = [classical]
        for name, options in VARIANTS.items():
            found.append(classical.changed(name, options, partial(_with_settings, name)))
        first = segmenter_name(config.bootstrap.segmenter, Silent())
        if first != CLASSICAL:
            found.append(self._segmenter(first, class_name))
        own = [(folder, card) for folder, card in self._runs if class_name in card["classes"]]
        latest = {card["model"]: folder for folder, card in own}
        found += [_run(folder) for folder in latest.values()]
        viewed, views = (_run(own[-1][0]), list(VIEWS)) if own else (classical, ["flipped"])
        for view in views:
            found.append(viewed.changed(view, VIEWS[view], partial(ViewedSegmenter, view=view)))
        return tuple(found)

    def _segmenter(self, name: str, class_name: str) -> Way:
        config = self._project.config
        weights = spec_of(name).outside_weights(config.segmenters.get(name, {}))
        parts = {
            "segmenter": name,
            "options": config.segmenters.get(name, {}),
            "weights": weights and _state(weights),
            "steps": [step.model_dump(mode="json") for step in config.steps_of(class_name)],
            "bootstrap": config.bootstrap.model_dump(mode="json"),
            "postprocess": config.postprocess.model_dump(mode="json"),
        }
        return Way(name, name, json.dumps(parts, sort_keys=True))

    def _load(self, way: Way) -> Predictor:
        if way.model not in self._loaded:
            # What it notes of an image is of no use here; how far it is, `progress` tells.
            self._loaded[way.model] = Predictor(self._project, way.model, Silent())
        model = self._loaded[way.model]
        if way.change is None:
            return model
        if way.name not in self._loaded:
            self._loaded[way.name] = model.variant(way.variant, way.change)
        return self._loaded[way.name]


def _run(folder: Path) -> Way:
    """Return a run as a way: when it is finished, nothing in its folder changes."""
    return Way(folder.name, folder.name, repr([_state(f) for f in sorted(folder.glob("*"))]))


def _state(file: Path) -> tuple[str, int, int]:
    found = file.stat()
    return file.name, found.st_size, found.st_mtime_ns


def _with_settings(variant: str, segmenter: Any) -> Segmenter:
    changed: Segmenter = replace(segmenter, **VARIANTS[variant])
    return changed


def classical_segmentations(
    image: NDArray[Any], spacing_um: Spacing
) -> tuple[Segmentation, dict[str, NDArray[np.uint32]]]:
    """Segment an array with the classical segmenter, as it is and in every other way it has.

    Parameters
    ----------
    image : ndarray of integer or float, shape (Z, Y, X)
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.

    Returns
    -------
    first : Segmentation
        With the default settings.
    others : dict of str to ndarray of uint32, shape (Z, Y, X)
        By variant or view.

    Raises
    ------
    ImageError
        As `models.base.Segmenter.segment`.
    """
    plain = segmenter_class(CLASSICAL)()
    ways = {name: _with_settings(name, plain) for name in VARIANTS}
    ways["flipped"] = ViewedSegmenter(plain, "flipped")
    others = {name: way.segment(image[None], spacing_um).labels for name, way in ways.items()}
    return plain.segment(image[None], spacing_um), others
