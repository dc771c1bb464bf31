"""Refusing options that no stack can be drawn with."""

from __future__ import annotations

import math
import os

from labels.spacing import Spacing
from models.synthetic.stack import SyntheticError

BYTES_PER_VOXEL = 64
"""Memory that drawing takes at its peak."""


def check_room(shape: tuple[int, int, int], spacing_um: Spacing, diameter_um: float) -> None:
    """See that a nucleus fits into the stack, has voxels, and the stack fits into memory.

    Raises
    ------
    SyntheticError
    """
    check_lattice(shape, spacing_um)
    extent = [n * step for n, step in zip(shape, spacing_um, strict=True)]
    if min(extent[1:]) < diameter_um or (shape[0] > 1 and extent[0] < diameter_um / 2):
        size = " × ".join(f"{v:g}" for v in extent)
        raise SyntheticError(
            f"a stack of {size} µm (z, y, x) has no room for a nucleus of {diameter_um:g} µm; "
            "give a larger shape or smaller nuclei"
        )
    if diameter_um < 2 * max(spacing_um[1:]):
        raise SyntheticError(
            f"a nucleus of {diameter_um:g} µm is less than two voxels of "
            f"{max(spacing_um[1:]):g} µm wide; give smaller voxels or larger nuclei"
        )


def check_lattice(shape: tuple[int, int, int], spacing_um: Spacing) -> None:
    """See that shape and voxel size are positive, and that the stack fits into memory.

    Raises
    ------
    SyntheticError
    """
    sizes = (*shape, *spacing_um)
    if len(sizes) != 6 or not all(math.isfinite(v) and v > 0 for v in sizes):
        raise SyntheticError(
            f"expected a shape and a voxel size above 0, got {tuple(shape)} and "
            f"{tuple(spacing_um)} µm; give three of each, in the order z, y, x"
        )
    need = math.prod(shape) * BYTES_PER_VOXEL
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if need > have:
        raise SyntheticError(
            f"a stack of {' × '.join(map(str, shape))} voxels takes about {need / 2**30:.0f} GiB "
            f"to draw and this machine has {have / 2**30:.0f}; make several smaller ones"
        )
