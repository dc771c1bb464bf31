"""The places where a model is most wrong: chosen, cut out and compared voxel by voxel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.formats import read_labels
from hitl.evaluation.metrics.contingency import Contingency, count_overlaps
from hitl.evaluation.metrics.unchanged import as_scored
from hitl.project.folder import Project
from hitl.project.reporter import Reporter
from hitl.report.inputs import Inputs
from labels.spacing import Spacing

ERRORS = ("merged", "split", "missed", "spurious", "shifted")
MAX_SIDE_PX = 128
"""A crop's sides in y and x; a merger may be as large as the stack."""
MAX_DEPTH_PX = 64
LEAST = (7, 28, 28)
"""A crop's least sides in z, y, x: three voxels are not understood without what is around."""
FILL = 6
"""Well-segmented nuclei, at most, that are shown besides errors."""

Labels = NDArray[np.uint32]


@dataclass(frozen=True)
class Place:
    """A place of the evaluated stacks: some true nuclei, what was predicted there, and the image.

    Parameters
    ----------
    stack, kind : str
    truth_ids, pred_ids : tuple of int
    score : float or None
        Lowest score of the true nuclei; None for a spurious one.
    iou : float or None
        Likewise.
    volume_um3 : float
        Of the true nuclei, else of the predicted one.
    centroid_um : (float, float, float)
    image : ndarray, shape (Z, Y, X)
        Cut out.
    truth, pred : ndarray of uint32, shape (Z, Y, X)
        All labels in the crop.
    start : (int, int, int)
        First voxel of the crop in the stack.
    spacing_um : (float, float, float)
    cut : bool
        The nuclei reach beyond the crop.
    """

    stack: str
    kind: str
    truth_ids: tuple[int, ...]
    pred_ids: tuple[int, ...]
    score: float | None
    iou: float | None
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
        return np.isin(self.truth, self.truth_ids)

    @property
    def predicted_voxels(self) -> NDArray[np.bool_]:
        """Where the model has the objects of this place."""
        return np.isin(self.pred, self.pred_ids)


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
        Stacks whose labels or prediction are not those that were scored.
    pred_volumes_um3 : list of float
        Of all predicted objects of the scored stacks.
    """

    model: str | None
    shown: list[Place] = field(default_factory=list)
    total: int = 0
    stale: list[str] = field(default_factory=list)
    pred_volumes_um3: list[float] = field(default_factory=list)


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
    stacks = inputs.evaluation["models"][found.model]["stacks"]
    chosen, found.total = _choose(stacks, limit)
    for number, (stack, scores) in enumerate(stacks.items()):
        reporter.progress(number, len(stacks), f"pictures of {stack}")
        _cut_stack(inputs, stack, scores, chosen, found, reporter)
    order = {key: n for n, key in enumerate(chosen)}
    found.shown.sort(key=lambda place: order[_key(place.stack, place.truth_ids, place.pred_ids)])
    return found


Key = tuple[str, tuple[int, ...], tuple[int, ...]]


def _key(stack: str, truth_ids: tuple[int, ...], pred_ids: tuple[int, ...]) -> Key:
    return (stack, truth_ids, pred_ids)


def _choose(stacks: dict[str, Any], limit: int) -> tuple[dict[Key, dict[str, Any]], int]:
    by_kind: dict[str, list[tuple[float, float, Key, dict[str, Any]]]] = {}
    for stack, scores in stacks.items():
        rows = {row["id"]: row for row in scores.get("objects", ())}
        for case in scores.get("cases", ()):
            known = [rows[i] for i in case["truth_ids"] if i in rows]
            if not known and case["kind"] != "spurious":
                continue
            lost = sum(1 - row["score"] for row in known) if known else 1.0
            size = max((row["volume_voxels"] for row in known), default=0)
            key = _key(stack, tuple(case["truth_ids"]), tuple(case["pred_ids"]))
            by_kind.setdefault(case["kind"], []).append(
                (-lost, -size, key, {**case, "rows": known})
            )
    queues = [iter(sorted(by_kind.get(k, []), key=lambda row: row[:3])) for k in ERRORS]
    chosen: dict[Key, dict[str, Any]] = {}
    fill = sorted(by_kind.get("matched", []), key=lambda row: row[:3])[:FILL]
    for row in (*_in_turn(queues), *fill):
        if len(chosen) >= limit:
            break
        chosen[row[2]] = row[3]
    return chosen, sum(len(by_kind.get(kind, [])) for kind in ERRORS)


def _in_turn(queues: list[Iterator[Any]]) -> Iterator[Any]:
    while queues:
        alive = []
        for queue in queues:
            row = next(queue, None)
            if row is not None:
                alive.append(queue)
                yield row
        queues = alive


def _cut_stack(
    inputs: Inputs,
    stack: str,
    scores: dict[str, Any],
    chosen: dict[Key, dict[str, Any]],
    found: Places,
    reporter: Reporter,
) -> None:
    assert inputs.evaluation is not None and found.model is not None
    wanted = {key: case for key, case in chosen.items() if key[0] == stack}
    read = _read_pair(inputs.project, found.model, stack, inputs.evaluation["round"])
    if read is None:
        found.stale.append(stack)
        reporter.note(_not_as_scored(found.model, stack))
        return
    truth, pred, table, spacing_um = read
    if not as_scored(table, scores):
        found.stale.append(stack)
        reporter.note(_not_as_scored(found.model, stack))
        return
    voxel_um3 = float(np.prod(spacing_um))
    found.pred_volumes_um3 += (table.pred_sizes * voxel_um3).tolist()
    view = inputs.project.store().stack(stack)
    for key, case in wanted.items():
        box, cut = _box(table, key[1], key[2], case)
        place = tuple(slice(a, b) for a, b in box)
        image = np.asarray(view.image[view.info.channel, place[0], place[1], place[2]])
        rows = case["rows"]
        volume = _volume(table, key[1], key[2]) * voxel_um3
        z, y, x = (c * s for c, s in zip(case["centroid_zyx"], spacing_um, strict=True))
        found.shown.append(
            Place(
                stack=stack,
                kind=case["kind"],
                truth_ids=key[1],
                pred_ids=key[2],
                score=min((row["score"] for row in rows), default=None),
                iou=min((row["iou"] for row in rows), default=None),
                volume_um3=volume,
                centroid_um=(z, y, x),
                image=image,
                truth=truth[place],
                pred=pred[place],
                start=(box[0][0], box[1][0], box[2][0]),
                spacing_um=spacing_um,
                cut=cut,
            )
        )


def _not_as_scored(model: str, stack: str) -> str:
    return (
        f"{stack}: the labels, or what {model} predicted, are no longer those that were scored, "
        "so no pictures of it are shown; run `hitl evaluate` again"
    )


def _read_pair(
    project: Project, model: str, stack: str, round_number: int | None
) -> tuple[Labels, Labels, Contingency, Spacing] | None:
    """Read what was scored, from the store and from the kept prediction; None without either."""
    store = project.store()
    if stack not in {info.name for info in store.stacks(round=round_number)}:
        return None
    file = project.folder / "predictions" / model / f"{stack}.tif"
    if not file.is_file():
        return None
    view = store.stack(stack, round=round_number)
    pred = read_labels(file)
    if pred.shape != view.info.zyx:
        return None
    truth = np.asarray(view.labels[...], dtype=np.uint32)
    return truth, pred, count_overlaps(truth, pred), view.info.spacing_um


def _rows_of(ids: tuple[int, ...], of: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(np.searchsorted(of, np.asarray(ids, np.int64)), np.int64)


def _volume(table: Contingency, truth_ids: tuple[int, ...], pred_ids: tuple[int, ...]) -> int:
    if truth_ids:
        return int(table.truth_sizes[_rows_of(truth_ids, table.truth_ids)].sum())
    return int(table.pred_sizes[_rows_of(pred_ids, table.pred_ids)].sum())


def _box(
    table: Contingency, truth_ids: tuple[int, ...], pred_ids: tuple[int, ...], case: dict[str, Any]
) -> tuple[list[tuple[int, int]], bool]:
    """Bounds of the crop in z, y, x with a margin, and whether the nuclei reach beyond it."""
    boxes = np.concatenate(
        [
            table.truth_boxes[_rows_of(truth_ids, table.truth_ids)],
            table.pred_boxes[_rows_of(pred_ids, table.pred_ids)],
        ]
    )
    low, high = boxes[:, :, 0].min(axis=0), boxes[:, :, 1].max(axis=0)
    bounds, cut = [], False
    limits = (MAX_DEPTH_PX, MAX_SIDE_PX, MAX_SIDE_PX)
    for axis, most in enumerate(limits):
        side = int(high[axis] - low[axis])
        margin = max(2 if axis == 0 else 4, round(0.25 * side), (LEAST[axis] - side + 1) // 2)
        a, b = int(low[axis]) - margin, int(high[axis]) + margin
        if b - a > most:
            cut = True
            a = max(a, min(round(case["centroid_zyx"][axis]) - most // 2, b - most))
            b = a + most
        bounds.append((max(a, 0), min(b, table.shape[axis])))
    return bounds, cut
