"""The verb that compares two people's labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hitl.cli.app import app
from hitl.cli.console import console
from hitl.cli.options import AxesOption, JsonOption, SpacingOption
from hitl.cli.score_options import BorderOption, MinVoxelsOption, ToleranceOption


@app.command(rich_help_panel="Models")
def agreement(
    first: Annotated[str, typer.Argument(metavar="A", help="Label image, or a round's number.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Label image, or a round's number.")],
    project: Annotated[
        Path | None,
        typer.Option("--project", metavar="PROJECT", help="Keep the result here, for the report."),
    ] = None,
    stack: Annotated[
        str | None, typer.Option("--stack", metavar="NAME", help="The stack that both label.")
    ] = None,
    same_person: Annotated[
        bool, typer.Option("--self", help="Both files are one person's, at two times.")
    ] = False,
    names: Annotated[
        tuple[str, str] | None,
        typer.Option("--names", metavar="A B", help="Who made them; the file names if not given."),
    ] = None,
    axes: AxesOption = None,
    spacing_um: SpacingOption = None,
    border: BorderOption = "keep",
    min_voxels: MinVoxelsOption = 0,
    tolerance_um: ToleranceOption = None,
    as_json: JsonOption = False,
) -> None:
    """How well two people agree, or one with an earlier self: the ceiling of a model's score."""
    from hitl.evaluation.agreement import agree_files, agree_rounds
    from hitl.evaluation.metrics.options import ScoreOptions
    from hitl.project.folder import Project

    rounds = first.isdecimal() and second.isdecimal()
    if rounds and (project is None or stack is None):
        raise typer.BadParameter("two rounds need --project PROJECT and --stack NAME")
    if rounds and (same_person or names or axes or spacing_um):
        raise typer.BadParameter("--self, --names, --axes and --spacing-um are for label files")
    with console(as_json) as out:
        options = ScoreOptions(
            border=border,  # type: ignore[arg-type]  # it says what it takes itself
            min_voxels=min_voxels,
            tolerance_um=tolerance_um,
        )
        opened = None if project is None else Project.open(project)
        if rounds and opened is not None and stack is not None:
            pair = (int(first), int(second))
            done = agree_rounds(opened, stack, pair, out, options=options)
        else:
            done = agree_files(
                Path(first),
                Path(second),
                out,
                kind="self" if same_person else "annotators",
                names=names,
                axes=axes,
                spacing_um=spacing_um,
                options=options,
                project=opened,
                stack=stack,
            )
        out.result(done.to_dict(), done.tables())
