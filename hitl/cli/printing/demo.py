"""What is printed of the demo."""

from __future__ import annotations

from typing import Any

from hitl.cli.demo import Demonstrated
from hitl.cli.printing.evaluation import score_table
from hitl.project.plain import plain


def demonstrated(done: Demonstrated) -> tuple[dict[str, Any], Any]:
    """Tell what was scored, and where everything is."""
    from rich.console import Group

    folder = done.project.folder
    data = {"project": folder, "report": done.report, **plain(done.evaluated)}
    pictures = "\n".join(f"  {picture}" for picture in done.evaluated.pictures)
    closing = (
        f"pictures of each result beside the truth:\n{pictures}\n"
        f"all of it on one page, to open in a browser: {done.report}\n"
        f"look around: hitl status {folder}; hitl log {folder}"
    )
    return data, Group(score_table(done.evaluated), closing)
