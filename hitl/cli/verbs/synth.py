"""The verb that draws synthetic stacks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hitl.cli.app import app
from hitl.cli.console import console
from hitl.cli.options import AxesOption, JsonOption
from hitl.cli.verbs.files import PANEL


@app.command(rich_help_panel=PANEL)
def synth(
    dest: Annotated[
        Path | None, typer.Argument(metavar="DEST", help="Folder for the files.")
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=100_000, help="Stacks to draw.")] = 1,
    like: Annotated[
        Path | None,
        typer.Option("--like", metavar="IMAGE", help="Draw stacks that look like this one."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", metavar="FILE", help="Labels of that image; else it is segmented."
        ),
    ] = None,
    like_project: Annotated[
        Path | None,
        typer.Option("--like-project", metavar="PROJECT", help="Like a stack of this project."),
    ] = None,
    stack: Annotated[
        str | None, typer.Option("--stack", metavar="NAME", help="Which stack of that project.")
    ] = None,
    shape: Annotated[
        tuple[int, int, int] | None,
        typer.Option("--shape", metavar="Z Y X", help="Voxels; 32 128 128 if not given."),
    ] = None,
    spacing_um: Annotated[
        tuple[float, float, float] | None,
        typer.Option("--spacing-um", metavar="Z Y X", help="Voxel size in µm; drawn if not given."),
    ] = None,
    diameter_um: Annotated[
        float | None,
        typer.Option("--diameter-um", help="Of a typical nucleus; drawn or measured."),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Of the first stack; the next has the next.")
    ] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Hold one of the options (repeatable)."),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option("--into", metavar="PROJECT", help="Add them as verified training stacks."),
    ] = None,
    axes: AxesOption = None,
    channel: Annotated[
        str | None,
        typer.Option("--channel", metavar="C", help="Channel of that image: name, or number."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files of the same names.")
    ] = False,
    options: Annotated[
        bool, typer.Option("--options", help="List what --set takes, and draw nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Draw synthetic stacks with their exact truth, of many looks or like your own."""
    from hitl.project.config import parse_settings
    from hitl.simulate.stacks import SynthRequest, generator_options, synthesise

    if options:
        with console(as_json) as out:
            found = generator_options()
            out.result(found.to_dict(), found.table())
        return
    if dest is None:
        raise typer.BadParameter("say DEST, the folder for the files")
    if like is not None and like_project is not None:
        raise typer.BadParameter("give --like or --like-project, not both")
    if stack is not None and like_project is None:
        raise typer.BadParameter("--stack is of the project that --like-project names")
    if like is None and (labels or axes or channel):
        raise typer.BadParameter("--labels, --axes and --channel are of the image of --like")
    if like_project is not None and spacing_um is not None:
        raise typer.BadParameter("the stack of --like-project has its own voxel size")
    with console(as_json) as out:
        request = SynthRequest(
            folder=dest,
            count=count,
            seed=seed,
            shape=shape,
            spacing_um=spacing_um,
            diameter_um=diameter_um,
            settings=parse_settings(settings or []),
            like=like,
            labels=labels,
            axes=axes,
            channel=channel,
            project=like_project,
            stack=stack,
            into=into,
            overwrite=overwrite,
        )
        done = synthesise(request, out)
        out.result(done.to_dict(), done.sentence())
