"""Label images with known edits: objects in cells of a grid, each cell edited in one known way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

CELL = (4, 6, 8)
MARGIN = 1

Truth = tuple[str, frozenset[int], int, int, int]
"""Kind, ids before, how many objects after, voxels gained, voxels lost."""

LONE = ("keep", "delete", "shrink", "grow", "reshape", "split", "split3", "add beside")
PAIR = ("merge", "merge and shrink", "regroup", "both split", "hand over", "swap")


@dataclass
class Script:
    """`before`, `after` with ids of its own, and what was done."""

    before: np.ndarray
    after: np.ndarray
    truth: list[Truth]
    unchanged: set[int]


def cell_of(row: int, column: int, width: int = 1) -> tuple[slice, slice, slice]:
    """The inner part of `width` cells side by side, without the margin around it."""
    z, y, x = CELL
    return (
        slice(MARGIN, z - MARGIN),
        slice(row * y + MARGIN, (row + 1) * y - MARGIN),
        slice(column * x + MARGIN, (column + width) * x - MARGIN),
    )


def edit_one(op: str, b: np.ndarray, a: np.ndarray, place: tuple, id_: int) -> list[Truth]:
    """Edit the object `id_` that fills `place` (2 × 4 × 6 voxels); new ids are from 1000 on."""
    z, y, x = place
    one = frozenset([id_])
    size = int(b[place].size)
    match op:
        case "keep":
            return []
        case "delete":
            a[place] = 0
            return [("deleted", one, 0, 0, size)]
        case "shrink":
            a[z, y, x.start : x.start + 2] = 0
            return [("reshaped", one, 1, 0, size // 3)]
        case "grow":
            a[z, slice(y.start - 1, y.stop), x] = id_
            return [("reshaped", one, 1, size // 4, 0)]
        case "reshape":
            a[z, y.start, x] = 0
            a[z, y, x.stop] = id_
            return [("reshaped", one, 1, size // 6, size // 4)]
        case "split":
            a[z, y, x.start : x.start + 2] = 1000 + id_
            return [("split", one, 2, 0, 0)]
        case "split3":
            a[z, y, x.start : x.start + 2] = 1000 + id_
            a[z, y, x.stop - 2 : x.stop] = 2000 + id_
            a[z, y, x.start + 2] = 0
            return [("split", one, 3, 0, size // 6)]
        case "add beside":
            a[z, y.start - 1, x] = 1000 + id_
            return [("added", frozenset(), 1, size // 4, 0)]
    raise AssertionError(op)


def edit_pair(op: str, a: np.ndarray, left: tuple, right: tuple, ids: tuple) -> list[Truth]:
    """Edit two objects that touch at x = right[2].start; both fill their places."""
    p, q = ids
    both, one, other = frozenset(ids), frozenset([p]), frozenset([q])
    z, y, x = right
    size, width = int(a[left].size), x.stop - x.start
    match op:
        case "merge":
            a[left] = q
            return [("merged", both, 1, 0, 0)]
        case "merge and shrink":
            a[left] = q
            a[z, y, x.stop - 1] = 0
            return [("merged", both, 1, 0, size // width)]
        case "regroup":
            a[left] = q
            a[z, y, x.stop - 2 : x.stop] = 1000 + q
            return [("regrouped", both, 2, 0, 0)]
        case "both split":
            a[z, y.start : y.start + 2, left[2]] = 1000 + p
            a[z, y.start : y.start + 2, x] = 1000 + q
            # The border between them moves too: only the sizes tell that it is no merge.
            a[z, y, x.start] = a[z, y, x.start - 1]
            moved = size // width
            return [("split", one, 2, moved, 0), ("split", other, 2, 0, moved)]
        case "hand over":
            a[z, y, x.start] = p
            moved = size // width
            return [("reshaped", one, 1, moved, 0), ("reshaped", other, 1, 0, moved)]
        case "swap":
            a[left], a[right] = q, p
            return []
    raise AssertionError(op)


def build(columns: int, rows: list[list[str]], seed: int) -> Script:
    """Objects in cells, a list of operations per row of cells; ids after are shuffled."""
    z, y, x = CELL
    rng = np.random.default_rng(seed)
    before = np.zeros((z, y * len(rows), x * columns), np.uint32)
    fresh = iter((rng.permutation(columns * len(rows)) + 1).tolist())
    todo = []
    for row, ops in enumerate(rows):
        column = 0
        for op in ops:
            width = 2 if op in PAIR else 1
            whole = cell_of(row, column, width)
            ids = tuple(int(next(fresh)) for _ in range(width))
            if width == 2:
                middle = (whole[2].start + whole[2].stop) // 2
                left = (*whole[:2], slice(whole[2].start, middle))
                right = (*whole[:2], slice(middle, whole[2].stop))
                before[left], before[right] = ids
                todo.append((op, (left, right), ids))
            else:
                before[whole] = ids[0]
                todo.append((op, (whole,), ids))
            column += width
    after, truth = before.copy(), []
    unchanged = set(np.unique(before[before > 0]).tolist())
    for op, places, ids in todo:
        done = (
            edit_one(op, before, after, places[0], ids[0])
            if len(places) == 1
            else edit_pair(op, after, places[0], places[1], ids)
        )
        truth += done
        for _, involved, *_ in done:
            unchanged -= involved
    return Script(before, shuffled(after, rng), truth, unchanged)


def shuffled(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same objects under random ids, some of them large."""
    ids = np.unique(labels[labels > 0])
    pool = np.concatenate([np.arange(1, ids.size + 3), [70_000, 2**32 - 1]])
    values = rng.permutation(pool)[: ids.size].astype(np.uint32)
    return np.append(values, np.uint32(0))[
        np.where(labels > 0, np.searchsorted(ids, labels), ids.size)
    ]


@st.composite
def scripts(draw: st.DrawFn, ops: tuple[str, ...] = LONE + PAIR) -> Script:
    """Scripts of up to 2 rows of 4 cells."""
    columns, rows = 4, []
    for _ in range(draw(st.integers(1, 2))):
        row: list[str] = []
        while (left := columns - sum(2 if o in PAIR else 1 for o in row)) > 0:
            row.append(draw(st.sampled_from([o for o in ops if o not in PAIR or left > 1])))
        rows.append(row)
    return build(columns, rows, draw(st.integers(0, 2**16)))
