"""Finds edits where only parts of a field can differ, without reading the rest."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np

from annotations._chunks import Region, Voxels, cell_place, cells_meeting, explicit
from annotations.edits._overlaps import WORKERS, check_pair, count_pairs
from annotations.edits.compare import classify
from annotations.edits.records import Edits
from annotations.layout import CHUNKS
from annotations.objects import ObjectTable
from annotations.planes import Planes
from labels.overlaps import Ids, Pairs, merge_pairs

Cell = tuple[int, int, int]


def compare_regions(
    before: Voxels,
    after: Voxels,
    regions: Iterable[Region],
    *,
    objects: ObjectTable,
    follow: Collection[int] = (),
    ids_stayed: bool = False,
) -> Edits:
    """Find what became of the objects in parts of a field, when the rest is known to be equal.

    The same as `compare_labels` would find, at a cost that grows with the parts, not with the
    field. Only chunks that a part meets are read, and from there the chunks that a changed
    object reaches into. An object in pieces, with a whole chunk between them, is measured without
    the pieces out of reach: compare such labels whole.

    Parameters
    ----------
    before, after : ndarray, zarr array or source of slabs, integers, shape (Z, Y, X)
        Outside `regions` they must be equal, ids included; this is not checked.
    regions : iterable of (slice, slice, slice)
        Of (z, y, x); may overlap.
    objects : ObjectTable
        Rows of `before`; their ids are never given again.
    follow : collection of int
        Ids before of objects in `regions` to be measured whole although they did not change.
    ids_stayed : bool
        As for `compare_labels`.

    Returns
    -------
    Edits
        Of the objects in the chunks that were read; `whole` is False.

    Raises
    ------
    LabelError
        As `compare_labels`, or a region outside the field.
    """
    shape = check_pair(before, after)
    grid = _grid(before, shape)
    start = cells_meeting([explicit(part, shape, "region") for part in regions], grid)
    found = _count_cells(before, after, sorted(start), grid)
    wanted = np.union1d(_changed_ids(found.values()), np.fromiter(follow, np.uint64))
    edge = set(start)
    while edge:
        reached = {c for cell in edge for c in _neighbours(cell, found[cell], wanted, shape, grid)}
        edge = reached - found.keys()
        found.update(_count_cells(before, before, sorted(edge), grid))
    pairs = merge_pairs(list(found.values()) or [count_pairs(before, after, ())])
    return classify(shape, pairs, objects, ids_stayed=ids_stayed, whole=False)


def _grid(before: Voxels, shape: tuple[int, int, int]) -> Cell:
    sizes = before.chunks if isinstance(before, Planes) else CHUNKS
    z, y, x = (min(c, n) for c, n in zip(sizes, shape, strict=True))
    return z, y, x


def _count_cells(before: Voxels, after: Voxels, cells: list[Cell], grid: Cell) -> dict[Cell, Pairs]:
    def work(cell: Cell) -> Pairs:
        return count_pairs(before, after, [cell_place(cell, grid, before.shape)])

    with ThreadPoolExecutor(WORKERS) as pool:
        return dict(zip(cells, pool.map(work, cells), strict=True))


def _changed_ids(tables: Iterable[Pairs]) -> Ids:
    """Ids before and after of the voxels that differ."""
    differ = [keys[keys[:, 0] != keys[:, 1]].ravel() for keys, _ in tables]
    ids = np.unique(np.concatenate([np.zeros(0, np.uint64), *differ]))
    return ids[ids > 0]


def _neighbours(
    cell: Cell, table: Pairs, wanted: Ids, shape: tuple[int, int, int], grid: Cell
) -> set[Cell]:
    """Cells that wanted objects of this cell may reach into, corners included."""
    from labels import kernels as k

    keys, stats = table
    boxes = stats[np.isin(keys, wanted).any(axis=1)][:, k.Z0 : k.X1 + 1].reshape(-1, 3, 2)
    low = np.array(cell) * grid
    high = np.minimum(low + grid, shape) - 1
    near = set()
    for down, up in np.unique(
        np.stack([boxes[:, :, 0] == low, boxes[:, :, 1] == high], axis=1), axis=0
    ):
        steps = ([0] + [-1] * bool(d) + [1] * bool(u) for d, u in zip(down, up, strict=True))
        for step in product(*steps):
            z, y, x = (int(c) + s for c, s in zip(cell, step, strict=True))
            if all(i in range(-(-n // g)) for i, g, n in zip((z, y, x), grid, shape, strict=True)):
                near.add((z, y, x))
    return near
