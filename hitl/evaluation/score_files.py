"""Reading pairs of label files, and scoring one against the other, without a project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotations.errors import AxesError
from annotations.formats import open_labels, refuse_series
from hitl.evaluation.metrics.resampling import FEW_OBJECTS, Interval, bootstrap
from hitl.evaluation.metrics.scores import Scores, summarise
from hitl.evaluation.requests import ScoreRequest
from hitl.evaluation.scoring import score_labels
from hitl.project.errors import MetricError
from hitl.project.reporter import Reporter
from labels.numbers import number_of
from labels.spacing import Spacing

SAME_SPACING = 0.01
"""Voxel sizes that differ by less, relative to the larger, are taken for the same."""


@dataclass(frozen=True)
class LabelPair:
    """Two label images of one field.

    Parameters
    ----------
    first, second : ndarray of uint32, shape (Z, Y, X)
    spacing_um : (float, float, float) or None
        Voxel size (z, y, x) in µm.
    """

    first: NDArray[np.uint32]
    second: NDArray[np.uint32]
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


def score_files(request: ScoreRequest, reporter: Reporter) -> Scored:
    """Score one label file against another.

    Raises
    ------
    FormatError
        A file that cannot be read as labels.
    MetricError
        Label images of different shapes, or no spacing for an option in µm.
    """
    truth, predicted = request.truth, request.predicted
    pair = read_label_pair(truth, predicted, request.axes, request.spacing_um, reporter)
    scores = score_labels(
        pair.first, pair.second, spacing_um=pair.spacing_um, options=request.options
    )
    note_what_is_missing(scores, reporter)
    return Scored(truth, predicted, scores, bootstrap({"": {"": [scores.items]}}))


def read_label_pair(
    first: Path, second: Path, axes: str | None, spacing_um: Spacing | None, reporter: Reporter
) -> LabelPair:
    """Read two label files that should fit together.

    Parameters
    ----------
    first, second : Path
    axes : str, optional
        Of both, where they do not say.
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm; what the files say when not given.
    reporter : Reporter

    Raises
    ------
    FormatError
        A file that cannot be read as labels.
    MetricError
        Shapes differ.
    """
    (a, a_um), (b, b_um) = (_read(path, axes, reporter) for path in (first, second))
    if a.shape != b.shape:
        raise MetricError(
            f"expected label images of one shape, got {a.shape} in {first} and {b.shape} in "
            f"{second}; give labels of the same field"
        )
    different = a_um and b_um and not np.allclose(a_um, b_um, rtol=SAME_SPACING, atol=0)
    if different and spacing_um is None:
        reporter.note(
            f"{first.name} and {second.name} state different voxel sizes, {a_um} and {b_um} µm; "
            "takes the first (see --spacing-um)"
        )
    return LabelPair(a, b, spacing_um or a_um or b_um)


def _read(
    path: Path, axes: str | None, reporter: Reporter
) -> tuple[NDArray[np.uint32], Spacing | None]:
    """Read labels and what the file says of its voxels."""
    try:
        source = open_labels(path, axes=axes)
    except AxesError:
        if axes is not None:
            raise
    else:
        with source:
            refuse_series(path, source.times, flat=source.zyx[0] == 1)
            return source.read_all(), source.spacing_um
    # The order of unnamed axes matters only to the edge class, so it is announced.
    found = _read(path, "ZYX", reporter)
    reporter.note(f"{path.name} does not name its axes; takes them as ZYX (see --axes)")
    return found


def note_what_is_missing(scores: Scores, reporter: Reporter) -> None:
    """Say why metrics are not defined, and when there is too little to go by."""
    for line in summarise(scores.reasons):
        reporter.note(line)
    if 0 < scores.n_truth < FEW_OBJECTS:
        reporter.note(
            f"only {number_of(scores.n_truth, 'object')} in the truth: intervals from so few are "
            "too narrow to go by"
        )
