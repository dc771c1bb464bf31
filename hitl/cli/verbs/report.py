"""The verb that writes the report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hitl.cli.app import app
from hitl.cli.console import console
from hitl.cli.options import JsonOption, ProjectArgument


@app.command(rich_help_panel="Project")
def report(
    project: ProjectArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE", help="HTML file; PROJECT/report.html if not given."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is no earlier report.")
    ] = False,
    places: Annotated[
        int, typer.Option("--places", metavar="N", help="Show the N worst places at most.")
    ] = 24,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Scores, errors, progress and provenance in one HTML file that needs no network."""
    from hitl.project.folder import Project
    from hitl.report.write import write_report

    with console(as_json) as out:
        done = write_report(
            Project.open(project), out, output=output, overwrite=overwrite, places=places
        )
        out.result(done.to_dict(), done.sentence())
        if open_it:
            import webbrowser

            if not webbrowser.open(done.file.resolve().as_uri()):
                out.note(f"no browser could be started; open {done.file.resolve()} yourself")
