"""The verbs, a module for each heading of the help; each joins the app when it is imported."""

from hitl.cli.app import app

# The headings stand in the help in this order, which is that of the work.
# isort: off
from hitl.cli.verbs import project
from hitl.cli.verbs import rounds
from hitl.cli.verbs import models
from hitl.cli.verbs import files
# isort: on

__all__ = ["app", "files", "models", "project", "rounds"]
