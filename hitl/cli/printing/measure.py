"""What is printed of measurements."""

from __future__ import annotations

from typing import Any

from hitl.cli.tables import plain_table
from hitl.measure.collected import MeasuredFiles
from hitl.measure.fucci import PHASES
from hitl.measure.output import phase_rows


def measured(done: MeasuredFiles) -> tuple[dict[str, Any], Any]:
    """Tell what was measured, and where it was written."""
    from rich.console import Group
    from rich.markup import escape

    columns = ("field", "nuclei", "volume (µm³)", "sphericity", "at the border", "labels of")
    rows = [
        (escape(about["field"]), str(about["nuclei"]), *map(_number, about["medians"].values()),
         str(about["at_border"]), escape(about["labels_of"]))
        for about in done.summary["fields"]
    ]  # fmt: skip
    parts = [plain_table(columns, rows, title="nuclei; medians of each field", right=columns[1:5])]
    if done.phases:
        heads = ("field", *PHASES, "not told", "uncertain")
        found = [
            (escape(row["field"]), *(str(row[phase]) for phase in PHASES),
             str(row["nuclei"] - sum(row[phase] for phase in PHASES)),
             "–" if row["uncertain_fraction"] is None else f"{row['uncertain_fraction']:.0%}")
            for row in phase_rows(done.phases)
        ]  # fmt: skip
        parts.append(plain_table(heads, found, title="phases of the cell cycle", right=heads[1:]))
    where = f"in {escape(str(done.folder))}: {', '.join(done.files)}"
    return {**done.summary, "files": done.files}, Group(*parts, where)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"
