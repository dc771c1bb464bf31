"""Which voxels a person has verified by accepting, editing and checking."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from annotations._chunks import Region, Voxels, cell_place, cells_of, explicit, within
from annotations.edits._overlaps import blocks_of, check_pair, rows_of
from annotations.edits._reading import box_reader, read_region
from annotations.edits.records import Edits
from annotations.errors import LabelError
from annotations.layout import CHUNKS
from annotations.planes import Planes
from annotations.volume import time_parts
from labels.overlaps import Ints, box_around
from labels.spacing import Spacing, is_spacing


class VerifiedPatch(NamedTuple):
    """Voxels to be set as verified; those that are 0 here stay as they are.

    Parameters
    ----------
    region : (slice, slice, slice)
        Of (z, y, x).
    mask : ndarray of uint8, shape of the region
        1 where verified.
    """

    region: Region
    mask: NDArray[np.uint8]


class _Seen(NamedTuple):
    """An object, or those of a change: where it is with its shell, ids before and after."""

    place: Region
    gone: tuple[int, ...]
    kept: tuple[int, ...]


def shell_voxels(spacing_um: Spacing, thickness: float = 2.0) -> tuple[int, int, int]:
    """Return how far the shell of an object reaches along (z, y, x), in voxels.

    Parameters
    ----------
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    thickness : float
        In voxels of the finest axis. Along the others it is the same distance, but one voxel at
        least, or else nothing would say where an object ends along z.

    Raises
    ------
    LabelError
        A voxel size or thickness that is not positive.

    >>> shell_voxels((2.0, 0.5, 0.5)), shell_voxels((0.5, 0.5, 0.25))
    ((1, 2, 2), (1, 1, 2))
    """
    if not (is_spacing(spacing_um) and thickness > 0):
        raise LabelError(
            f"shell: expected a positive voxel size and thickness, got {spacing_um} and {thickness}"
        )
    reach = thickness * min(spacing_um)
    z, y, x = (max(1, int(reach / size + 0.5)) for size in spacing_um)
    return z, y, x


def verified_mask_update(
    before: Voxels,
    after: Voxels,
    edits: Edits,
    accepted: Collection[int] = (),
    *,
    shell: tuple[int, int, int],
    checked: Iterable[Region] = (),
    depth: int | None = None,
) -> Iterator[VerifiedPatch]:
    """Yield the voxels that edits, accepted objects and checked regions verify.

    These are: the objects that an edit left and those accepted, each with a shell of background;
    former voxels of edited and deleted objects that are background now; and all of each
    checked region. A shell never covers another object. Read are the boxes of these objects only.

    Parameters
    ----------
    before, after : ndarray, zarr array or source of slabs, shape (Z, Y, X)
        The images that were compared; or planes of several time points, (T·Z, Y, X).
    edits : Edits
        What `compare_labels` found in them.
    accepted : collection of int
        Ids after.
    shell : (int, int, int)
        Semi-axes (z, y, x), in voxels, of the ellipsoid of background that goes with each voxel
        of an object; see `shell_voxels`.
    checked : iterable of (slice, slice, slice)
        Regions (z, y, x) in which a person says that everything is right.
    depth : int, optional
        Planes of a time point, Z: no shell leaves the time point of its object. All of them when
        not given.

    Yields
    ------
    VerifiedPatch
        Those of objects share no voxel, so that all of them are no more than the field.

    Raises
    ------
    LabelError
        An accepted id that the labels after do not have, a region outside the field, a negative
        shell, or images of another shape than those compared.
    """
    from annotations.edits import _kernels

    shape = _check_shape(before, after, edits)
    offsets = _ellipsoid(shell)
    planes = shape[0] if depth is None else depth
    regions = [explicit(region, shape, "checked region") for region in checked]
    for region in regions:
        sizes = [part.stop - part.start for part in region]
        yield VerifiedPatch(region, np.broadcast_to(np.uint8(1), sizes))
    chunks = next((each.chunks for each in (before, after) if isinstance(each, Planes)), None)
    read_before, read_after = box_reader(before, chunks), box_reader(after, chunks)
    seen = [
        each
        for each in _seen(edits, accepted, lambda box: _with_shell(box, shell, shape, planes))
        if not any(_within(each.place, region) for region in regions)
    ]
    gone = _unique(each.gone for each in seen)
    kept = _unique(each.kept for each in seen)
    for region, edited in _by_cell(seen, chunks or CHUNKS, shape):
        place = _with_shell(region, shell, shape, planes)
        new = read_after(place)
        old = read_before(place) if edited else new
        mask = np.zeros(new.shape, np.uint8)
        was = gone if edited else gone[:0]
        _kernels.mark_seen()(old, new, was, kept, offsets, place[0].start, planes, mask)
        yield VerifiedPatch(region, mask[within(region, place)])


def changed_voxels(
    before: Voxels, after: Voxels, *, shell: tuple[int, int, int], depth: int | None = None
) -> Iterator[VerifiedPatch]:
    """Yield the voxels of an area that edits changed, each with the ellipsoid around it.

    An area is one object: who moved its border in one place has not looked at all of it.

    Parameters
    ----------
    before, after : ndarray, zarr array or source of slabs, shape (Z, Y, X)
        Or planes of several time points, (T·Z, Y, X).
    shell : (int, int, int)
        Semi-axes (z, y, x) of the ellipsoid, in voxels.
    depth : int, optional
        Planes of a time point, as for `verified_mask_update`.

    Yields
    ------
    VerifiedPatch
        They share no voxel.
    """
    from scipy.ndimage import binary_dilation

    shape = check_pair(before, after)
    planes = shape[0] if depth is None else depth
    ball = np.zeros([2 * reach + 1 for reach in shell], np.bool_)
    ball[tuple((_ellipsoid(shell) + shell).T)] = ball[shell] = True
    for rows, y, x in blocks_of(before, after):
        for time, z, z_stop in time_parts(rows.start, rows.stop, planes):
            region = slice(time * planes + z, time * planes + z_stop), y, x
            place = _with_shell(region, shell, shape, planes)
            changed = read_region(before, place) != read_region(after, place)
            if changed.any():
                near = binary_dilation(changed, ball)[within(region, place)]
                yield VerifiedPatch(region, near.astype(np.uint8))


def _seen(
    edits: Edits, accepted: Collection[int], place_of: Callable[[Region], Region]
) -> Iterator[_Seen]:
    done: set[int] = set()
    for change in edits.changes:
        done.update(change.after)
        yield _Seen(place_of(change.box), change.before, change.after)
    wanted = sorted(set(accepted) - done)
    for row, id_ in zip(rows_of(edits.after, wanted), wanted, strict=True):
        yield _Seen(place_of(box_around(edits.after.boxes[row][None])), (), (id_,))


def _unique(ids: Iterable[tuple[int, ...]]) -> NDArray[np.uint32]:
    return np.unique(np.fromiter(chain.from_iterable(ids), np.uint32))


def _by_cell(
    seen: list[_Seen], size: tuple[int, int, int], shape: tuple[int, int, int]
) -> Iterator[tuple[Region, bool]]:
    """Yield, for each cell of a grid, the box around what was seen in it, and if it was edited.

    So no voxel is read for each of the objects around it, however far their voxels are scattered.
    """
    counts = [-(-n // g) for n, g in zip(shape, size, strict=True)]
    low, high = np.full((*counts, 3), max(shape)), np.zeros((*counts, 3), np.int64)
    edited = np.zeros(counts, np.bool_)
    for each in seen:
        cells = cells_of(each.place, size)
        np.minimum(low[cells], [part.start for part in each.place], out=low[cells])
        np.maximum(high[cells], [part.stop for part in each.place], out=high[cells])
        edited[cells] |= bool(each.gone)
    for index in np.argwhere(high[..., 0] > 0).tolist():
        cell = tuple(index)
        z, y, x = (
            slice(max(int(a), part.start), min(int(b), part.stop))
            for a, b, part in zip(low[cell], high[cell], cell_place(cell, size, shape), strict=True)
        )
        yield (z, y, x), bool(edited[cell])


def _check_shape(before: Voxels, after: Voxels, edits: Edits) -> tuple[int, int, int]:
    shape = check_pair(before, after)
    if shape != edits.shape:
        raise LabelError(
            f"verified: expected the labels of shape {edits.shape} that were compared, got {shape}"
        )
    return shape


def _with_shell(
    box: Region, shell: tuple[int, int, int], shape: tuple[int, int, int], planes: int
) -> Region:
    """Return a box as far as shells reach, cut at the field's border and at its time points'."""
    z, y, x = (
        slice(max(0, part.start - reach), min(size, part.stop + reach))
        for part, reach, size in zip(box, shell, shape, strict=True)
    )
    first, stop = box[0].start // planes * planes, -(-box[0].stop // planes) * planes
    return slice(max(z.start, first), min(z.stop, stop)), y, x


def _within(inner: Region, outer: Region) -> bool:
    return all(o.start <= i.start and i.stop <= o.stop for i, o in zip(inner, outer, strict=True))


def _ellipsoid(semi_axes: tuple[int, int, int]) -> Ints:
    """Offsets (n, 3) within an ellipsoid, without (0, 0, 0)."""
    if min(semi_axes) < 0:
        raise LabelError(f"shell: expected 0 or more voxels along (z, y, x), got {semi_axes}")
    inside = []
    for offset in product(*(range(-r, r + 1) for r in semi_axes)):
        distance = sum((o / r) ** 2 for o, r in zip(offset, semi_axes, strict=True) if r)
        if 0 < distance <= 1 + 1e-9:
            inside.append(offset)
    return np.array(inside, np.int64).reshape(-1, 3)
