"""The verb that trains a grid of options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitl.cli.console import Console
from hitl.cli.verb import Result, verb
from hitl.training.requests import SweepRequest

if TYPE_CHECKING:
    from hitl.project.folder import Project


@verb("Models")
def sweep(project: Project, request: SweepRequest, out: Console) -> Result:
    """Train a grid of options, one run each: a table and a plot; give it again to continue."""
    from hitl.cli.printing.training import swept
    from hitl.training.sweep.running import sweep

    return swept(sweep(project, request, out))
