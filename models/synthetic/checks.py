"""Refusing options that no stack can be drawn with."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args, get_type_hints

from labels.spacing import Spacing
from models.synthetic.stack import SyntheticError

BYTES_PER_VOXEL = 64
"""Memory that drawing takes at its peak."""


_BOUNDS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "gt": ("above", operator.gt),
    "ge": ("at least", operator.ge),
    "lt": ("below", operator.lt),
    "le": ("at most", operator.le),
}


def check_bounds(options: Any) -> None:
    """Hold each field of a dataclass against the bounds in its annotation.

    Raises
    ------
    SyntheticError
        A value that is out of bounds, not finite, or none of the choices.
    """
    hints = get_type_hints(type(options), include_extras=True)
    for option in fields(options):
        value = getattr(options, option.name)
        parts = value if isinstance(value, tuple) else (value,)
        inner = get_args(hints[option.name]) if isinstance(value, tuple) else ()
        for number, part in enumerate(parts):
            hint = inner[number] if number < len(inner) else hints[option.name]
            _check(option.name, part, hint)


def _check(name: str, value: Any, hint: Any) -> None:
    choices = [choice for choice in get_args(hint) if isinstance(choice, str | int)]
    if choices and value not in choices:
        raise SyntheticError(f"{name}: expected one of {choices}, got {value!r}")
    if isinstance(value, int | float) and not math.isfinite(value):
        raise SyntheticError(f"{name}: expected a finite number, got {value}; leave it out")
    for bound in getattr(hint, "__metadata__", ()):
        for word, (sign, holds) in _BOUNDS.items():
            limit = getattr(bound, word, None)
            if limit is not None and not holds(value, limit):
                raise SyntheticError(f"{name}: expected {sign} {limit}, got {value}")


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
