"""The verb that trains a grid of options."""

from __future__ import annotations

from typing import Annotated

import typer

from hitl.cli.app import app
from hitl.cli.console import console
from hitl.cli.options import JsonOption, ProjectArgument, StackOption


@app.command(rich_help_panel="Models")
def sweep(
    project: ProjectArgument,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="unet3d or stardist3d.")],
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="YAML file, or shipped config such as sweep_losses, with grids in sweep.MODEL; "
            "the project's own if not given.",
        ),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "--grid",
            metavar="KEY=V1,V2",
            help="Values of an option (repeatable); lists in brackets: 'features=[16,32],[32,64]'.",
        ),
    ] = None,
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="N,N", help="Train each combination with each seed.")
    ] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of every cell (repeatable)."),
    ] = None,
    stack: StackOption = None,
    name: Annotated[
        str, typer.Option("--name", help="Folder in PROJECT/sweeps; made up if not given.")
    ] = "",
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Score on the test stacks too (not sorted by it).")
    ] = False,
    sort: Annotated[
        str,
        typer.Option(
            "--sort", help="f1, evaluation_score, f1_nucleus, f1_edge, val_loss, minutes."
        ),
    ] = "f1",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Train again what has failed.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Train more than 100 cells.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a grid of options, one run each: a table and a plot; give it again to continue."""
    from hitl.project.config import parse_settings
    from hitl.project.folder import Project
    from hitl.training.sweep import SweepRequest, parse_grid, parse_seeds
    from hitl.training.sweep import sweep as run

    with console(as_json) as out:
        request = SweepRequest(
            model=model,
            config=config,
            grid=parse_grid(grid or []),
            seeds=parse_seeds(seeds),
            settings=parse_settings(settings or []),
            stacks=tuple(stack or ()),
            name=name,
            evaluate=evaluate,
            sort=sort,
            yes=yes,
            retry_failed=retry_failed,
        )
        done = run(Project.open(project), request, out)
        out.result(done.to_dict(), done.tables())
