"""One look for every table that is printed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hitl.cli.streams import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

NUMERIC = ("objects", "seconds", "epochs", "verified", "score", "F1")

_GAP = 3
"""Characters between two columns."""


@dataclass
class PlainTable:
    """A table without vertical rules, for rich to print.

    Parameters
    ----------
    columns : sequence of str
    rows : list of sequence of str
    title : str, optional
    right : sequence of str
        Columns that are aligned to the right.
    """

    columns: Sequence[str]
    rows: list[Sequence[str]]
    title: str | None
    right: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        table = rich_table(self.columns, title=self.title, right=self.right)
        # Rich lays out each cell by itself, half a second for hundreds of rows; where nothing is
        # folded a column can be one cell.
        joined = self._fits(options.max_width)
        for row in [["\n".join(c) for c in zip(*self.rows, strict=True)]] if joined else self.rows:
            table.add_row(*map(printable, row))
        yield table

    def _fits(self, width: int) -> bool:
        from rich.cells import cell_len

        columns = list(zip(self.columns, *self.rows, strict=True))
        lone = all("\n" not in cell for cells in columns for cell in cells)
        return (
            bool(self.rows)
            and lone
            and width >= sum(max(map(cell_len, cells)) + _GAP for cells in columns)
        )


def plain_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str | None = None,
    right: Sequence[str] = NUMERIC,
) -> PlainTable:
    """Return a table; see `PlainTable`."""
    return PlainTable(columns, list(rows), title, right)


def rich_table(columns: Sequence[str], *, title: str | None, right: Sequence[str]) -> Any:
    """Return the same table without rows, as one of rich's, to be filled and changed."""
    from rich import box
    from rich.table import Table

    # A title is folded to the table's width.
    width = None if title is None else min(len(title), 100)
    table = Table(
        title=title, box=box.SIMPLE, pad_edge=False, title_justify="left", min_width=width
    )
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table
