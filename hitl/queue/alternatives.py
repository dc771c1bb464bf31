"""Other segmentations of a project's fields: other settings, other models, other views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.fields import LabelsView
from hitl.prediction.predict import BOOTSTRAP, Predictor, cached_prediction
from hitl.project.folder import Project
from hitl.project.reporter import Reporter
from hitl.project.runs import read_card
from labels.progress import Progress, no_progress
from labels.spacing import Spacing
from models.base import Segmentation, Segmenter
from models.registry import segmenter_class

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
    def name(self) -> str:
        """The segmenter's name and the view's."""
        return f"{self.segmenter.name}@{self.view}"

    def describe(self) -> dict[str, Any]:
        """Return what the segmenter says of itself, and the view."""
        return {**self.segmenter.describe(), "view": self.view, "how": repr(VIEWS[self.view])}

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


def predictors(project: Project, reporter: Reporter) -> list[Predictor]:
    """Return what can segment a project's fields in another way.

    The classical segmenter as configured and in every variant, the bootstrap's segmenter where
    that is another, the last finished run of each kind of model, and views of the last run (of
    the classical segmenter where there is none).

    Parameters
    ----------
    project : Project
    reporter : Reporter
    """
    runs = project.finished_runs()
    latest = {read_card(folder)["model"]: folder.name for folder in runs}
    classical = Predictor(project, CLASSICAL, reporter)
    found = [classical]
    found += [classical.variant(name, partial(_with_settings, name)) for name in VARIANTS]
    first = Predictor(project, BOOTSTRAP, reporter)
    if first.name != CLASSICAL:
        found.append(first)
    by_run = {name: Predictor(project, name, reporter) for name in latest.values()}
    found += by_run.values()
    viewed, views = (by_run[runs[-1].name], list(VIEWS)) if runs else (classical, ["flipped"])
    found += [viewed.variant(view, partial(ViewedSegmenter, view=view)) for view in views]
    return found


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


def other_segmentations(
    project: Project,
    view: LabelsView,
    available: Sequence[Predictor],
    reporter: Reporter,
    made_by: str = "",
) -> dict[str, NDArray[np.uint32]]:
    """Segment one time point in every other way; each is computed once and then read.

    Parameters
    ----------
    project : Project
    view : LabelsView
    available : sequence of Predictor
        As `predictors` returns.
    reporter : Reporter
    made_by : str
        The model that made the labels at hand: it is left out, since it agrees with itself.

    Returns
    -------
    dict of str to ndarray of uint32, shape (Z, Y, X)
        By the name of what made it.
    """
    wanted = [p for p in available if p.name != made_by]
    found = {}
    for number, predictor in enumerate(wanted):
        reporter.progress(number, len(wanted), f"{view.name}: segments with {predictor.name}")
        found[predictor.name] = cached_prediction(project, predictor, view)
    return found
