"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ProjectArgument = Annotated[Path, typer.Argument(metavar="PROJECT", help="Project folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
StackOption = Annotated[
    list[str] | None, typer.Option("--stack", metavar="NAME", help="Only this stack (repeatable).")
]
SpacingOption = Annotated[
    tuple[float, float, float] | None,
    typer.Option(
        "--spacing-um", metavar="Z Y X", help="Voxel size in µm, where the file has none."
    ),
]
AxesOption = Annotated[
    str | None,
    typer.Option("--axes", help="Axes of the file, such as ZYX or CZYX, where it does not say."),
]
