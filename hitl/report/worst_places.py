"""The places where a model is most wrong: chosen, cut out and compared voxel by voxel."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as default
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.names import split_view_name
from annotations.views import LabelsView
from hitl.evaluation.results import (
    ERROR_KINDS,
    EvaluatedModel,
    ScoredCase,
    ScoredLabels,
    read_cases,
    read_scored,
)
from hitl.preprocess.grey import one_channel
from hitl.project.reporter import Reporter
from hitl.report.inputs import Inputs
from labels.overlaps import Objects
from labels.spacing import Spacing

MAX_SIDE_PX = 128
"""A crop's sides in y and x; a merger may be as large as the field."""
MAX_DEPTH_PX = 64
LEAST = (7, 28, 28)
"""A crop's least sides in z, y, x: three voxels are not understood without what is around."""
FILL = 6
"""Well-segmented nuclei, at most, that are shown besides errors."""

Labels = NDArray[np.uint32]


@dataclass(frozen=True)
class Place:
    """A place of the evaluated fields: some true nuclei, what was predicted there, and the image.

    Parameters
    ----------
    case : ScoredCase
    volume_um3 : float
        Of the true nuclei, else of the predicted one.
    centroid_um : (float, float, float)
    image : ndarray, shape (Z, Y, X)
        Cut out.
    truth, pred : ndarray of uint32, shape (Z, Y, X)
        All labels in the crop.
    start : (int, int, int)
        First voxel of the crop in the field.
    spacing_um : (float, float, float)
    cut : bool
        The nuclei reach beyond the crop.
    """

    case: ScoredCase
    volume_um3: float
    centroid_um: tuple[float, float, float]
    image: NDArray[Any]
    truth: Labels
    pred: Labels
    start: tuple[int, int, int]
    spacing_um: Spacing
    cut: bool

    @property
    def true_voxels(self) -> NDArray[np.bool_]:
        """Where the nuclei of this place are in truth."""
        return np.isin(self.truth, self.case.truth_ids)

    @property
    def predicted_voxels(self) -> NDArray[np.bool_]:
        """Where the model has the objects of this place."""
        return np.isin(self.pred, self.case.pred_ids)


@dataclass
class Places:
    """What was found.

    Parameters
    ----------
    model : str or None
        Whose errors they are.
    shown : list of Place
    total : int
        Errors in all.
    stale : list of str
        Fields whose labels or prediction are not those that were scored.
    pred_volumes_um3 : dict of str to list of float
        Of all predicted objects of the scored fields, by class.
    """

    model: str | None
    shown: list[Place] = default(default_factory=list)
    total: int = 0
    stale: list[str] = default(default_factory=list)
    pred_volumes_um3: dict[str, list[float]] = default(default_factory=dict)


def find_places(inputs: Inputs, limit: int, reporter: Reporter) -> Places:
    """Cut out the worst places of the model that the report is about.

    Each kind of error takes its turn, the worst of its kind first, so that every kind is seen;
    well-segmented nuclei with the lowest scores fill what is left.

    Parameters
    ----------
    inputs : Inputs
    limit : int
        At most so many.
    reporter : Reporter
        Told of labels that have changed since they were scored.
    """
    found = Places(inputs.shown_model)
    if inputs.evaluation is None or found.model is None:
        return found
    evaluated = EvaluatedModel.of(inputs.evaluation, found.model)
    chosen, found.total = _choose(evaluated, limit)
    for number, field in enumerate(evaluated.fields):
        reporter.progress(number, len(evaluated.fields), f"pictures of {field}")
        scored = read_scored(inputs.project, evaluated, field)
        if scored is None:
            found.stale.append(field)
            reporter.note(
                f"{field}: the labels, or what {found.model} predicted, are no longer those that "
                "were scored, so no pictures of it are shown; run `hitl evaluate` again"
            )
            continue
        address, time = split_view_name(field)
        view = inputs.project.store().labels(address).at(time or 0)
        voxel_um3 = float(np.prod(view.info.spacing_um))
        volumes = found.pred_volumes_um3.setdefault(view.info.class_name, [])
        volumes += (scored.table.pred.sizes * voxel_um3).tolist()
        found.shown += [_cut(view, scored, case) for case in chosen if case.field == field]
    found.shown.sort(key=lambda place: chosen.index(place.case))
    return found


def _choose(found: EvaluatedModel, limit: int) -> tuple[list[ScoredCase], int]:
    """Return cases, each kind of error in its turn, and how many errors there are in all."""
    cases = [case for field in found.fields for case in read_cases(found, field)[1]]
    cases.sort(key=_order)
    errors = ([case for case in cases if case.kind == kind] for kind in ERROR_KINDS)
    in_turn = [case for turn in zip_longest(*errors) for case in turn if case is not None]
    well_segmented = [case for case in cases if case.kind == "matched"][:FILL]
    return [*in_turn, *well_segmented][:limit], len(in_turn)


def _order(case: ScoredCase) -> tuple[Any, ...]:
    """Sort the most wrong first; of the many that are wrong by one nucleus, the larger."""
    return (-case.wrong, -case.volume_voxels, case.field, case.truth_ids, case.pred_ids)


def _cut(view: LabelsView, scored: ScoredLabels, case: ScoredCase) -> Place:
    spacing_um = view.info.spacing_um
    table = scored.table
    true, predicted = _named(table.truth, case.truth_ids), _named(table.pred, case.pred_ids)
    box, cut = _box(table.shape, (true, predicted), case)
    window = tuple(slice(a, b) for a, b in box)
    z, y, x = (c * s for c, s in zip(case.centroid_zyx, spacing_um, strict=True))
    return Place(
        case=case,
        volume_um3=int((true if len(true) else predicted).sizes.sum()) * float(np.prod(spacing_um)),
        centroid_um=(z, y, x),
        image=one_channel(view.seen_image[:, *window]),
        truth=scored.truth[window],
        pred=scored.predicted[window],
        start=(box[0][0], box[1][0], box[2][0]),
        spacing_um=spacing_um,
        cut=cut,
    )


def _named(objects: Objects, ids: tuple[int, ...]) -> Objects:
    return objects[np.isin(objects.ids, ids)]


def _box(
    shape: tuple[int, int, int], objects: tuple[Objects, Objects], case: ScoredCase
) -> tuple[list[tuple[int, int]], bool]:
    """Bounds of the crop in z, y, x with a margin, and whether the nuclei reach beyond it."""
    boxes = np.concatenate([found.boxes for found in objects])
    low, high = boxes[:, :, 0].min(axis=0), boxes[:, :, 1].max(axis=0)
    bounds, cut = [], False
    limits = (MAX_DEPTH_PX, MAX_SIDE_PX, MAX_SIDE_PX)
    for axis, most in enumerate(limits):
        side = int(high[axis] - low[axis])
        margin = max(2 if axis == 0 else 4, round(0.25 * side), (LEAST[axis] - side + 1) // 2)
        a, b = int(low[axis]) - margin, int(high[axis]) + margin
        if b - a > most:
            cut = True
            a = max(a, min(round(case.centroid_zyx[axis]) - most // 2, b - most))
            b = a + most
        bounds.append((max(a, 0), min(b, shape[axis])))
    return bounds, cut
