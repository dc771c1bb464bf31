"""What is printed of a report that was written."""

from __future__ import annotations

from typing import Any

from hitl.report.write import Written


def written(done: Written) -> tuple[dict[str, Any], str]:
    """Tell where everything is, and the headline."""
    report, inputs, size = done.report, done.report.inputs, done.file.stat().st_size
    said = report.sentences()
    data = {
        "file": done.file,
        "json": done.json,
        "bytes": size,
        "in_use": inputs.overview.in_use,
        "best": inputs.best and inputs.best.model,
        "models": [one.model for one in inputs.scored],
        "rounds": len(inputs.rounds),
        "objects": {table.name: len(table) for table in report.tables},
        "places": len(report.places.shown),
        "places_in_all": report.places.total,
        "sentences": said,
        "next": inputs.overview.next,
    }
    where = f"report: {done.file} ({size / 1e6:.1f} MB; its figures: {done.json})"
    return data, "\n".join([where, *filter(None, (said["scores"], said["errors"]))])
