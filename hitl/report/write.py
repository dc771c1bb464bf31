"""Writing the report: the page, and its figures as JSON beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from hitl.project.errors import HitlError
from hitl.project.folder import Project, write_json, write_text
from hitl.project.reporter import Reporter
from hitl.report.build import FORMAT, Report, build
from hitl.report.inputs import read_inputs
from hitl.report.page import GENERATOR, page
from hitl.report.requests import ReportRequest

NAME = "report.html"


class ReportError(HitlError):
    """A report that would replace a file that is none."""


@dataclass(frozen=True)
class Written:
    """A report that was written.

    Parameters
    ----------
    file, json : Path
    report : Report
    """

    file: Path
    json: Path
    report: Report


def write_report(project: Project, request: ReportRequest, reporter: Reporter) -> Written:
    """Write the report of a project.

    Raises
    ------
    ReportError
        A file is there that is no report, or the name does not end in .html, or its folder is not
        there, or `places` is negative.
    ProjectError
        A damaged file of the project.
    """
    file = request.output or project.folder / NAME
    beside = file.with_suffix(".json")
    if request.places < 0:
        raise ReportError(f"--places {request.places}: expected a number of at least 0")
    _check(file, beside, request.overwrite)
    report = build(read_inputs(project), request.places, reporter)
    text = page(report, beside.name)
    write_json(beside, report.to_dict())
    write_text(file, text)
    return Written(file, beside, report)


def _check(file: Path, beside: Path, overwrite: bool) -> None:
    if file.suffix.lower() not in (".html", ".htm"):
        raise ReportError(f"--output {file}: expected a name that ends in .html")
    if not file.parent.is_dir():
        raise ReportError(f"--output {file}: there is no folder {file.parent}; make it first")
    for path in (file, beside):
        if path.is_dir():
            raise ReportError(f"{path} is a folder; name another file with --output")
        if path.exists() and not overwrite and not _is_report(path):
            raise ReportError(
                f"{path} exists already and is no report; name another file with --output, or "
                "replace it with --overwrite"
            )


def _is_report(path: Path) -> bool:
    """Whether a file says in its first lines that this module wrote it."""
    with path.open("rb") as stream:
        head = stream.read(2000).decode("utf-8", errors="replace")
    if path.suffix == ".json":
        return json.dumps(FORMAT) in head
    return GENERATOR in head
