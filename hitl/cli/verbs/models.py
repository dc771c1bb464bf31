"""Verbs that train models and run them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hitl.cli.app import app
from hitl.cli.console import console
from hitl.cli.options import JsonOption, ProjectArgument, StackOption

PANEL = "Models"


@app.command(rich_help_panel=PANEL)
def train(
    project: ProjectArgument,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="stardist3d or unet3d.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One of the model's options (repeatable)."),
    ] = None,
    stack: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a model on the labels of the last round; prints the run's id."""
    from hitl.project.config import parse_settings
    from hitl.project.folder import Project
    from hitl.training.train import train as run

    with console(as_json) as out:
        done = run(
            Project.open(project), model, parse_settings(settings or []), tuple(stack or ()), out
        )
        out.result(done.to_dict(), done.sentence())


@app.command(rich_help_panel=PANEL)
def predict(
    project: ProjectArgument,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="RUN", help="A run or a segmenter; the promoted run if not given."
        ),
    ] = None,
    stack: StackOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Where to; PROJECT/predictions if not given."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Segment stacks with a trained model; writes label images."""
    from hitl.prediction.predict import predict as run
    from hitl.project.folder import Project
    from hitl.project.in_use import named_or_in_use

    with console(as_json) as out:
        opened = Project.open(project)
        done = run(opened, named_or_in_use(opened, model), tuple(stack or ()), output, out)
        out.result(done.to_dict(), done.sentence())
