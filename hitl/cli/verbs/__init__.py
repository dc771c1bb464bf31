"""The verbs, a module for each heading of the help; each joins the app when it is imported."""

from hitl.cli.app import app
from hitl.cli.verbs import files, models, project, rounds  # the order of the work

__all__ = ["app", "files", "models", "project", "rounds"]
