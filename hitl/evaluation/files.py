"""Scoring one label file against another, without a project."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.errors import AxesError
from annotations.formats import open_labels, read_labels
from hitl.evaluation.metrics.options import ScoreOptions
from hitl.evaluation.metrics.resampling import FEW_OBJECTS, Interval, bootstrap
from hitl.evaluation.metrics.scores import Scores, summarise
from hitl.evaluation.metrics.summary import score
from hitl.postprocess import edge_class
from hitl.project.errors import MetricError
from hitl.project.reporter import Reporter
from labels.spacing import Spacing

SAME_SPACING = 0.01
"""Voxel sizes that differ by less, relative to the larger, are taken for the same."""


@dataclass(frozen=True)
class LabelFile:
    """Labels read from a file.

    Parameters
    ----------
    path : Path
    labels : ndarray of uint32, shape (Z, Y, X)
    spacing_um : (float, float, float) or None
        What the file says.
    """

    path: Path
    labels: NDArray[np.uint32]
    spacing_um: Spacing | None


@dataclass(frozen=True)
class Scored:
    """All metrics of one label image against another.

    Parameters
    ----------
    truth, predicted : Path
    scores : Scores
    intervals : dict of str to Interval
        From resampling the objects.
    """

    truth: Path
    predicted: Path
    scores: Scores
    intervals: dict[str, Interval]

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "truth": str(self.truth),
            "predicted": str(self.predicted),
            **self.scores.to_dict(),
            "intervals": {name: asdict(found) for name, found in self.intervals.items()},
        }

    def tables(self, everything: bool = False) -> Any:
        """Return what is printed for people: the main metrics, or all of them."""
        from rich.console import Group

        from hitl.evaluation.metrics import table

        rows = {self.predicted.name: self.scores}
        main: list[Any] = [
            table.metric_table(
                self.scores,
                self.intervals,
                title=f"{self.predicted.name} against {self.truth.name}",
            ),
            self._footnote(),
            table.error_table(rows, title="what became of each object"),
        ]
        if not everything:
            return Group(*main, "by IoU threshold, convention, class and border: --all or --json")
        return Group(
            *main,
            *(table.threshold_table(rows, metric=name) for name in ("f1", "ap")),
            table.convention_table(self.scores),
            table.border_table(rows),
            table.voxel_table(rows, title="voxels of each class"),
        )

    def _footnote(self) -> str:
        centroids, boundary = self.scores.centroids, self.scores.boundary
        parts = [f"centroids match within {centroids.within:g} {_UNITS[centroids.unit]}"]
        if boundary is not None:
            parts.append(f"boundaries within {boundary.tolerance_um:.3g} µm")
        left = self.scores.left_out
        if left.truth_ids or left.pred_ids:
            parts.append(
                f"left out: {len(left.truth_ids)} objects of the truth, {len(left.pred_ids)} of "
                "the prediction"
            )
        return "; ".join(parts)


_UNITS = {"px": "voxels along x", "um": "µm"}


def score_files(
    truth: Path,
    predicted: Path,
    axes: str | None,
    reporter: Reporter,
    *,
    spacing_um: Spacing | None = None,
    options: ScoreOptions | None = None,
) -> Scored:
    """Score one label file against another.

    Parameters
    ----------
    truth, predicted : Path
    axes : str, optional
        Of both files, where they do not say.
    reporter : Reporter
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm; what the files say when not given.
    options : ScoreOptions, optional

    Raises
    ------
    FormatError
        A file that cannot be read as labels.
    MetricError
        Label images of different shapes, or no spacing for an option in µm.
    """
    true, found = (read_label_file(path, axes, reporter) for path in (truth, predicted))
    spacing_um = common_spacing(true, found, spacing_um, reporter)
    scores = score(
        true.labels,
        found.labels,
        spacing_um=spacing_um,
        options=options,
        truth_classes=edge_class(true.labels),
        pred_classes=edge_class(found.labels),
    )
    note_what_is_missing(scores, reporter)
    intervals = bootstrap({"": [scores.items]})
    return Scored(truth, predicted, scores, intervals)


def read_label_file(path: Path, axes: str | None, reporter: Reporter) -> LabelFile:
    """Read labels; the order of unnamed axes matters only to the edge class, so it is announced."""
    if axes is not None:
        return _read(path, axes)
    try:
        return _read(path, None)
    except AxesError:
        found = _read(path, "ZYX")
        reporter.note(f"{path.name} does not name its axes; takes them as ZYX (see --axes)")
        return found


def _read(path: Path, axes: str | None) -> LabelFile:
    with open_labels(path, axes=axes) as source:
        spacing_um = source.spacing_um
    return LabelFile(path, read_labels(path, axes=axes), spacing_um)


def common_spacing(
    first: LabelFile, second: LabelFile, given: Spacing | None, reporter: Reporter
) -> Spacing | None:
    """Return the voxel size of two label images, after a look at whether they fit together.

    Raises
    ------
    MetricError
        Shapes differ.
    """
    if first.labels.shape != second.labels.shape:
        raise MetricError(
            f"expected label images of one shape, got {first.labels.shape} in {first.path} and "
            f"{second.labels.shape} in {second.path}; give labels of the same stack"
        )
    if given is not None:
        return given
    a, b = first.spacing_um, second.spacing_um
    if a is not None and b is not None and not np.allclose(a, b, rtol=SAME_SPACING, atol=0):
        reporter.note(
            f"{first.path.name} and {second.path.name} state different voxel sizes, {a} and {b} "
            "µm; takes the first (see --spacing-um)"
        )
    return a or b


def note_what_is_missing(scores: Scores, reporter: Reporter) -> None:
    """Say why metrics are not defined, and when there is too little to go by."""
    for line in summarise(scores.reasons):
        reporter.note(line)
    if 0 < scores.n_truth < FEW_OBJECTS:
        plural = "" if scores.n_truth == 1 else "s"
        reporter.note(
            f"only {scores.n_truth} object{plural} in the truth: intervals from so few are too "
            "narrow to go by"
        )
