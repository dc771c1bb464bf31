"""The verb that writes the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from hitl.cli.console import Console
from hitl.cli.verb import Result, verb
from hitl.project.options import Flag
from hitl.report.requests import ReportRequest

if TYPE_CHECKING:
    from hitl.project.folder import Project

Open = Annotated[bool, Flag("--open", help="Open it in the browser.")]


@verb("Project")
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
