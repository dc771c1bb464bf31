"""Verbs that train models, run them and score them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hitl.cli.app import app
from hitl.cli.console import console
from hitl.cli.options import JsonOption, ProjectArgument, StackOption
from hitl.cli.score_options import (
    AllOption,
    BorderOption,
    CentroidPxOption,
    CentroidUmOption,
    MinVolumeOption,
    MinVoxelsOption,
    ToleranceOption,
)

PANEL = "Models"

ModelOption = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="RUN", help="A run's id or a segmenter's name (repeatable)."),
]


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


@app.command(rich_help_panel=PANEL)
def evaluate(
    project: ProjectArgument,
    model: ModelOption = None,
    round_number: Annotated[
        int | None, typer.Option("--round", metavar="R", help="Truth as of this round.")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Test every other model against the first, object by object."
        ),
    ] = False,
    border: BorderOption = "keep",
    min_voxels: MinVoxelsOption = 0,
    min_volume_um3: MinVolumeOption = 0.0,
    tolerance_um: ToleranceOption = None,
    centroid_px: CentroidPxOption = 15.0,
    centroid_um: CentroidUmOption = None,
    everything: AllOption = False,
    as_json: JsonOption = False,
) -> None:
    """Score models against hand-made labels; without --model, the bootstrap and every run."""
    from hitl.evaluation.evaluate import evaluate as run
    from hitl.evaluation.metrics.options import ScoreOptions
    from hitl.project.folder import Project

    with console(as_json) as out:
        options = ScoreOptions(
            border=border,  # type: ignore[arg-type]  # it says what it takes itself
            min_voxels=min_voxels,
            min_volume_um3=min_volume_um3,
            tolerance_um=tolerance_um,
            centroid_px=centroid_px,
            centroid_um=centroid_um,
        )
        opened = Project.open(project)
        done = run(opened, tuple(model or ()), round_number, split, out, options=options)
        out.result(done.to_dict(), done.tables(everything, compare))
