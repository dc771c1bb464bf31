"""Verbs that make a project, fill it and tell what is in it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hitl.cli.app import AxesOption, JsonOption, ProjectArgument, SpacingOption, StackOption, app
from hitl.cli.console import console

PANEL = "Project"


class Split(StrEnum):
    """What a stack is for."""

    train = "train"
    val = "val"
    test = "test"


@app.command(rich_help_panel=PANEL)
def init(
    project: ProjectArgument,
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="FILE", help="YAML file, or the name of a shipped one."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new project in an empty or new folder."""
    from hitl.project.config import ProjectConfig, load_config
    from hitl.project.folder import Project
    from hitl.project.presets import find_preset

    with console(as_json) as out:
        chosen = ProjectConfig() if config is None else load_config(find_preset(config))
        made = Project.create(project, chosen)
        out.result(
            {"project": str(made.folder), "config": str(made.folder / "hitl.yaml")},
            f"made project {made.folder}; next: hitl add {made.folder} IMAGE",
        )


@app.command(rich_help_panel=PANEL)
def add(
    project: ProjectArgument,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="TIFF, OME-Zarr, NPY or ND2.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the stack; the file's name if not given.")
    ] = None,
    split: Annotated[
        Split, typer.Option("--split", help="A stack of split test never reaches training.")
    ] = Split.train,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", metavar="FILE", help="Hand-made label image: verified everywhere."
        ),
    ] = None,
    spacing_um: SpacingOption = None,
    axes: AxesOption = None,
    channel: Annotated[
        str | None,
        typer.Option("--channel", metavar="C", help="Channel to segment: name, or number from 0."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option("--group", help="Scores are given per group (a channel, say), then averaged."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Add a stack, and its hand-made labels if there are any."""
    from hitl.labelling.add import AddRequest, add_stack
    from hitl.project.folder import Project

    with console(as_json) as out:
        request = AddRequest(
            image=image,
            name=name,
            split=split.value,
            labels=labels,
            spacing_um=spacing_um,
            axes=axes,
            channel=channel,
            group=group,
        )
        added = add_stack(Project.open(project), request, out)
        out.result(added.to_dict(), added.sentence())


@app.command(rich_help_panel=PANEL)
def bootstrap(
    project: ProjectArgument,
    segmenter: Annotated[
        str | None,
        typer.Option("--segmenter", metavar="NAME", help="`hitl models` lists the names."),
    ] = None,
    stack: StackOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also where there are unverified labels already.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make the first labels: round 0."""
    from hitl.labelling.bootstrap import bootstrap as run
    from hitl.project.folder import Project

    with console(as_json) as out:
        done = run(Project.open(project), segmenter, tuple(stack or ()), replace, out)
        out.result(done.to_dict(), done.table())


@app.command(rich_help_panel=PANEL)
def status(project: ProjectArgument, as_json: JsonOption = False) -> None:
    """Tell what the project holds and what comes next."""
    from hitl.project.folder import Project
    from hitl.project.status import status as overview

    with console(as_json) as out:
        found = overview(Project.open(project))
        out.result(found.to_dict(), found.table())


@app.command(rich_help_panel=PANEL)
def log(project: ProjectArgument, as_json: JsonOption = False) -> None:
    """List every change of the store: what, by whom, with what, when."""
    from hitl.project.folder import Project
    from hitl.project.status import log as history

    with console(as_json) as out:
        found = history(Project.open(project))
        out.result(found.to_dict(), found.table())
