"""The verb that measures nuclei, in a project or of two files."""

from __future__ import annotations

from hitl.cli.console import Console
from hitl.cli.verb import Result, verb
from hitl.measure.requests import MeasureRequest


@verb("Models")
def measure(request: MeasureRequest, out: Console) -> Result:
    """Measure nuclei: one row each, as Parquet, CSV and XLSX."""
    from hitl.cli.printing.measure import measured
    from hitl.measure.collected import measure_files
    from hitl.measure.project import measure_project
    from hitl.project.folder import Project

    if request.project is None:
        return measured(measure_files(request, out))
    return measured(measure_project(Project.open(request.project), request, out))
