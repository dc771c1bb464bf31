"""Coarser resolutions of labels: as many as their image has, as OME-NGFF wants it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import zarr
from numpy.typing import NDArray

from annotations._chunks import Region, allow, chunks_meeting, rewrite_chunks
from annotations._storage import Location
from annotations.layout import FULL, child_array
from annotations.planes import Planes


def renew_label_levels(group: zarr.Group, places: Iterable[Region], location: Location) -> None:
    """Bring coarser labels up to date where the finest were written: every second voxel of each.

    Parameters
    ----------
    group : zarr group
        Of a class.
    places : iterable of (slice, slice, slice)
        Of the planes of all time points.
    location : Location

    Raises
    ------
    StoreError
        The storage failed.
    """
    about: dict[str, Any] = dict(group.attrs)
    paths = [level["path"] for level in about["ome"]["multiscales"][0]["datasets"]]
    fine = Planes(child_array(group, FULL), location)
    todo = chunks_meeting(fine, places)
    for path in paths[1:]:
        coarse = Planes(child_array(group, path), location)
        below = (_below(place, fine, coarse) for place in todo)
        todo = chunks_meeting(coarse, (place for place in below if place is not None))
        rewrite_chunks(coarse, todo, partial(_every_second, fine, coarse), allow, location)
        fine = coarse


def _steps(fine: Planes, coarse: Planes) -> list[int]:
    sizes = zip((fine.depth, *fine.shape[1:]), (coarse.depth, *coarse.shape[1:]), strict=True)
    return [1 if one == other else 2 for one, other in sizes]


def _below(place: Region, fine: Planes, coarse: Planes) -> Region | None:
    """Return the voxels of coarser planes that are among those of a chunk, None for none."""
    time, z_start = fine.time_of(place[0].start)
    z = slice(z_start, z_start + place[0].stop - place[0].start)
    steps = _steps(fine, coarse)
    found = [
        slice(-(-part.start // step), -(-part.stop // step))
        for part, step in zip((z, *place[1:]), steps, strict=True)
    ]
    if any(part.start == part.stop for part in found):
        return None
    first = time * coarse.depth
    return slice(first + found[0].start, first + found[0].stop), found[1], found[2]


def _every_second(fine: Planes, coarse: Planes, place: Region, _: object) -> NDArray[Any]:
    """Return the voxels of finer planes that a chunk of coarser ones shows."""
    time, z_start = coarse.time_of(place[0].start)
    z = slice(z_start, z_start + place[0].stop - place[0].start)
    sizes = (fine.depth, *fine.shape[1:])
    planes, y, x = (
        slice(part.start * step, min(part.stop * step, size), step)
        for part, step, size in zip((z, *place[1:]), _steps(fine, coarse), sizes, strict=True)
    )
    first = time * fine.depth
    return fine[first + planes.start : first + planes.stop : planes.step, y, x]
