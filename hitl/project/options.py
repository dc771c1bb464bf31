"""How the fields of a request are written as options, where name and type do not say it.

A verb's request is a frozen dataclass: the command line derives an option from each field, its
name, type, bounds and default, and the help from the docstring. Modules of requests import
nothing heavy, since the command line reads them before it knows which verb is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any


@dataclass(frozen=True)
class Flag:
    """The spelling of a field on the command line.

    Parameters
    ----------
    name : str, optional
        Such as ``"--set"``; the field's name with dashes when not given.
    metavar : str, optional
        What stands for the value in the help.
    help : str, optional
        The help; what the docstring says of the field when not given.
    argument : bool
        Given by place, not by name. A field without a default always is.
    panel : str, optional
        Heading in the help, for this field or for all fields of a nested dataclass.
    only : tuple of str
        The fields of a nested dataclass that the verb takes; all of them when empty.
    """

    name: str | None = None
    metavar: str | None = None
    help: str | None = None
    argument: bool = False
    panel: str | None = None
    only: tuple[str, ...] = ()


Stacks = Annotated[
    tuple[str, ...], Flag("--stack", metavar="NAME", help="Only this stack (repeatable).")
]
Settings = Annotated[Mapping[str, Any], Flag("--set", metavar="KEY=VALUE")]
"""Options of a model; `hitl.project.config.parse_settings` reads them."""

VoxelSize = Annotated[
    tuple[float, float, float] | None,
    Flag("--spacing-um", metavar="Z Y X", help="Voxel size in µm, where the file has none."),
]
Axes = Annotated[
    str | None,
    Flag("--axes", help="Axes of the file, such as ZYX or CZYX, where it does not say."),
]
Channel = Annotated[
    str | None,
    Flag("--channel", metavar="C", help="Channel to segment: name, or number from 0."),
]
ImageFile = Annotated[Path, Flag(metavar="IMAGE", help="TIFF, OME-Zarr, NPY or ND2.")]
