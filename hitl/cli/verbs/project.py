"""Verbs that make a project, fill it and tell what is in it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hitl.cli.console import Console
from hitl.cli.verb import Result, verb
from hitl.labelling.requests import AddRequest, BootstrapRequest
from hitl.project import completion
from hitl.project.options import MOST, Flag
from hitl.report.requests import ReportRequest

if TYPE_CHECKING:
    from hitl.project.folder import Project

PANEL = "Project"

Open = Annotated[bool, Flag("--open", help="Open it in the browser.")]


@verb(PANEL)
def init(
    folder: Annotated[Path, Flag(metavar="PROJECT", help="Project folder.")],
    config: Annotated[
        str | None,
        Flag(
            metavar="FILE",
            help="YAML file, or the name of a shipped one.",
            complete=completion.config_names,
        ),
    ] = None,
) -> Result:
    """Make a new project in an empty or new folder."""
    from hitl.cli.printing.project import made
    from hitl.project.config import ProjectConfig, load_config
    from hitl.project.folder import Project
    from hitl.project.presets import find_preset

    chosen = ProjectConfig() if config is None else load_config(find_preset(config))
    return made(Project.create(folder, chosen))


@verb(PANEL)
def add(project: Project, request: AddRequest, out: Console) -> Result:
    """Add a field, and its hand-made labels if there are any."""
    from hitl.cli.printing import labelling
    from hitl.labelling.add import add_field

    return labelling.added(add_field(project, request, out))


@verb(PANEL)
def bootstrap(project: Project, request: BootstrapRequest, out: Console) -> Result:
    """Make the first labels: round 0."""
    from hitl.cli.printing import labelling
    from hitl.labelling.bootstrap import bootstrap

    return labelling.bootstrapped(bootstrap(project, request, out))


@verb(PANEL)
def status(project: Project, out: Console) -> Result | None:
    """Tell what the project holds and what comes next."""
    from hitl.cli.printing.project import overview
    from hitl.project.status import status

    store = project.store()
    out.result(*overview(status(project, store)))
    # What was told came without reading a voxel: it does not show that they are there.
    store.check()
    return None


@verb(PANEL)
def remove(
    project: Project,
    names: Annotated[
        tuple[str, ...],
        Flag(
            argument=True,
            metavar="NAME",
            help="A field, a run, or an evaluation's number.",
            complete=completion.removable_names,
        ),
    ],
    yes: Annotated[bool, Flag(help="Do it; without, it is only told.")] = False,
) -> Result:
    """Take fields, runs or evaluations out of the project; rounds before keep a field."""
    from hitl.project.removal import described
    from hitl.project.removal import remove as take_out

    done = take_out(project, names, yes=yes)
    return {"removed": done}, f"removed {', '.join(map(described, done))}"


@verb(PANEL)
def log(
    project: Project,
    out: Console,
    limit: Annotated[int | None, Flag(min=1, max=MOST, help="Only the last so many.")] = None,
) -> Result | None:
    """List every change of the store: what, by whom, with what, when."""
    from hitl.cli.printing.project import history

    store = project.store()
    out.result(*history(list(islice(store.entries(), limit))))
    store.check()
    return None


@verb(PANEL)
def verify(
    project: Project,
    out: Console,
    deep: Annotated[bool, Flag(help="Read every chunk of every round.")] = False,
    repair: Annotated[bool, Flag(help="Go back to the newest commit that is whole.")] = False,
) -> Result | None:
    """Compare all that was committed with its checksums; name what is damaged, and what is whole.

    Nothing is deleted by --repair.
    """
    from hitl.cli.printing.verify import verified
    from hitl.project.verify import verify_project

    found = verify_project(project, out, deep=deep, repair=repair)
    out.result(*verified(found))
    if not found.whole:
        raise typer.Exit(1)
    return None


@verb(PANEL)
def report(
    project: Project, request: ReportRequest, out: Console, open_it: Open = False
) -> Result | None:
    """Scores, errors, progress and provenance in one HTML file that needs no network."""
    from hitl.cli.printing.report import written
    from hitl.report.write import write_report

    done = write_report(project, request, out)
    if not open_it:
        return written(done)
    import webbrowser

    # A browser in the terminal covers what is printed later.
    out.result(*written(done))
    if not webbrowser.open(done.file.resolve().as_uri()):
        out.note(f"no browser could be started; open {done.file.resolve()} yourself")
    return None
