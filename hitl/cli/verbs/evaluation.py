"""Verbs that score models, label files and people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from hitl.cli.console import Console
from hitl.cli.verb import Result, verb
from hitl.evaluation.requests import AgreementRequest, EvaluateRequest, ScoreRequest
from hitl.project.options import Flag

if TYPE_CHECKING:
    from hitl.project.folder import Project

PANEL = "Models"

All = Annotated[bool, Flag("--all", help="Print every table, not just the main ones.")]
Compare = Annotated[
    bool,
    Flag("--compare", help="Test every other model against the first, object by object."),
]


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


@verb("Without a project")
def score(request: ScoreRequest, out: Console, everything: All = False) -> Result:
    """All metrics of one label image against another."""
    from hitl.cli.printing.evaluation import scored
    from hitl.evaluation.score_files import score_files

    return scored(score_files(request, out), everything)


@verb(PANEL)
def agreement(request: AgreementRequest, out: Console) -> Result:
    """How well two people agree, or one with an earlier self: the ceiling of a model's score."""
    from hitl.cli.printing.evaluation import agreed
    from hitl.evaluation.agreement import agreement

    return agreed(agreement(request, out))
