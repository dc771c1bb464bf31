"""The verbs, in the order of the work; each joins the app when its module is imported."""

from hitl.cli.app import app
from hitl.cli.verbs import evaluation, files, measure, models, project, report, rounds, sweep, synth

__all__ = [
    "app", "evaluation", "files", "measure", "models", "project", "report", "rounds", "sweep",
    "synth",
]  # fmt: skip
