"""Verbs that train models, run them, score them, and measure what they find."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from hitl.cli.console import Console
from hitl.cli.verb import Result, verb
from hitl.evaluation.requests import AgreementRequest, EvaluateRequest
from hitl.measure.requests import MeasureRequest
from hitl.project import completion
from hitl.project.options import Classes, Fields, Flag
from hitl.training.requests import SweepRequest, TrainRequest

if TYPE_CHECKING:
    from hitl.project.folder import Project

PANEL = "Models"

All = Annotated[bool, Flag("--all", help="Print every table, not just the main ones.")]
Compare = Annotated[
    bool,
    Flag("--compare", help="Test every other model against the first, object by object."),
]


@verb(PANEL)
def train(project: Project, request: TrainRequest, out: Console) -> Result:
    """Train a model on the labels of the last round; prints the run's id."""
    from hitl.cli.printing.training import trained
    from hitl.training.train import train

    return trained(
        train(
            project,
            request.model,
            dict(request.settings),
            request.fields,
            out,
            request.classes,
        )
    )


@verb(PANEL)
def predict(
    project: Project,
    out: Console,
    model: Annotated[
        str | None,
        Flag(
            metavar="RUN",
            help="A run or a segmenter; the promoted run if not given.",
            complete=completion.model_names,
        ),
    ] = None,
    fields: Fields = (),
    classes: Classes = (),
    output: Annotated[
        Path | None, Flag(metavar="DIR", help="Where to; PROJECT/predictions if not given.")
    ] = None,
) -> Result:
    """Segment fields with a trained model; writes label images."""
    from hitl.cli.printing.prediction import predicted
    from hitl.prediction.predict import predict
    from hitl.project.runs import named_or_in_use

    return predicted(
        predict(project, named_or_in_use(project, model), fields, output, out, classes)
    )


@verb(PANEL)
def evaluate(
    project: Project,
    request: EvaluateRequest,
    out: Console,
    compare: Compare = False,
    everything: All = False,
) -> Result:
    """Score models against hand-made labels; without --model, the bootstrap and every run."""
    from hitl.cli.printing.evaluation import evaluated
    from hitl.evaluation.evaluate import evaluate

    return evaluated(evaluate(project, request, out), everything, compare)


@verb(PANEL)
def sweep(project: Project, request: SweepRequest, out: Console) -> Result:
    """Train a grid of options, one run each: a table and a plot; give it again to continue."""
    from hitl.cli.printing.training import swept
    from hitl.training.sweep.running import sweep

    return swept(sweep(project, request, out))


@verb(PANEL)
def measure(request: MeasureRequest, out: Console) -> Result:
    """Measure nuclei: one row each, as Parquet, CSV and XLSX."""
    from hitl.cli.printing.measure import measured
    from hitl.measure.collected import measure_files
    from hitl.measure.project import measure_project
    from hitl.project.folder import Project

    if request.project is None:
        return measured(measure_files(request, out))
    return measured(measure_project(Project.open(request.project), request, out))


@verb(PANEL)
def agreement(request: AgreementRequest, out: Console) -> Result:
    """How well two people agree, or one with an earlier self: the ceiling of a model's score."""
    from hitl.cli.printing.evaluation import agreed
    from hitl.evaluation.agreement import agreement

    return agreed(agreement(request, out))
