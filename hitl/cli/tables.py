"""One look for every table that is printed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

NUMERIC = ("objects", "seconds", "epochs", "verified", "score", "F1")


def plain_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str | None = None,
    right: Sequence[str] = NUMERIC,
) -> Any:
    """Return a rich table without vertical rules.

    Parameters
    ----------
    columns : sequence of str
    rows : iterable of sequence of str
    title : str, optional
    right : sequence of str
        Columns that are aligned to the right.
    """
    from rich import box
    from rich.table import Table

    # A title is folded to the table's width.
    width = None if title is None else min(len(title), 100)
    table = Table(
        title=title, box=box.SIMPLE, pad_edge=False, title_justify="left", min_width=width
    )
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
