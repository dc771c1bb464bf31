"""The verbs, in the order of the work; each joins the app when its module is imported."""

from hitl.cli.app import app
from hitl.cli.verbs import agreement, files, measure, models, project, report, rounds, sweep, synth

__all__ = [
    "agreement", "app", "files", "measure", "models", "project", "report", "rounds", "sweep",
    "synth",
]  # fmt: skip
