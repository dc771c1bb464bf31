"""Verbs that make a project, fill it and tell what is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hitl.cli.app import app
from hitl.cli.console import Console, console
from hitl.cli.options import JsonOption, ProjectArgument
from hitl.cli.verb import Result, verb
from hitl.labelling.requests import AddRequest, BootstrapRequest

if TYPE_CHECKING:
    from hitl.project.folder import Project

PANEL = "Project"


@app.command(rich_help_panel=PANEL)
def init(
    project: ProjectArgument,
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="FILE", help="YAML file, or the name of a shipped one."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new project in an empty or new folder."""
    from hitl.project.config import ProjectConfig, load_config
    from hitl.project.folder import Project
    from hitl.project.presets import find_preset

    with console(as_json) as out:
        chosen = ProjectConfig() if config is None else load_config(find_preset(config))
        made = Project.create(project, chosen)
        out.result(
            {"project": str(made.folder), "config": str(made.folder / "hitl.yaml")},
            f"made project {made.folder}; next: hitl add {made.folder} IMAGE",
        )


@verb(PANEL)
def add(project: Project, request: AddRequest, out: Console) -> Result:
    """Add a stack, and its hand-made labels if there are any."""
    from hitl.cli.printing import labelling
    from hitl.labelling.add import add_stack

    return labelling.added(add_stack(project, request, out))


@verb(PANEL)
def bootstrap(project: Project, request: BootstrapRequest, out: Console) -> Result:
    """Make the first labels: round 0."""
    from hitl.cli.printing import labelling
    from hitl.labelling.bootstrap import bootstrap

    return labelling.bootstrapped(bootstrap(project, request, out))


@verb(PANEL)
def status(project: Project) -> Result:
    """Tell what the project holds and what comes next."""
    from hitl.cli.printing.project import overview
    from hitl.project.status import status

    return overview(status(project))


@verb(PANEL)
def log(project: Project) -> Result:
    """List every change of the store: what, by whom, with what, when."""
    from hitl.cli.printing.project import history

    return history(project.store().log())
