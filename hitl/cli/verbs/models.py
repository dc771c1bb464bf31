"""Verbs that train models and run them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from hitl.cli.console import Console
from hitl.cli.verb import Result, verb
from hitl.project.options import Flag, Stacks
from hitl.training.requests import TrainRequest

if TYPE_CHECKING:
    from hitl.project.folder import Project

PANEL = "Models"


@verb(PANEL)
def train(project: Project, request: TrainRequest, out: Console) -> Result:
    """Train a model on the labels of the last round; prints the run's id."""
    from hitl.cli.printing.training import trained
    from hitl.training.train import train

    return trained(train(project, request.model, dict(request.settings), request.stacks, out))


@verb(PANEL)
def predict(
    project: Project,
    out: Console,
    model: Annotated[
        str | None,
        Flag(metavar="RUN", help="A run or a segmenter; the promoted run if not given."),
    ] = None,
    stacks: Stacks = (),
    output: Annotated[
        Path | None, Flag(metavar="DIR", help="Where to; PROJECT/predictions if not given.")
    ] = None,
) -> Result:
    """Segment stacks with a trained model; writes label images."""
    from hitl.cli.printing.prediction import predicted
    from hitl.prediction.predict import predict
    from hitl.project.runs import named_or_in_use

    return predicted(predict(project, named_or_in_use(project, model), stacks, output, out))
