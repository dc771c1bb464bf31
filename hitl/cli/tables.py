"""One look for every table that is printed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hitl.cli.streams import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

NUMERIC = ("objects", "seconds", "epochs", "verified", "score", "F1")

_GAP = 3
"""Characters between two columns."""

_EDGES = 2
"""Characters before the first and after the last column."""

_MOST_LINES, _READABLE = 4, 24
"""Lines of a cell in a column narrower than this; a longer one is better read as a paragraph."""

_LONGEST_WORD = 24
"""Words up to this length are never broken; a longer name may be."""


_NO_BREAK = "\u00a0"


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
        widths = self._widths(options.max_width)
        if widths is None or not self.rows:
            yield from self._records(options.max_width)
            return
        table = self._frame(widths)
        # Rich lays out each cell by itself, half a second for hundreds of rows; where nothing is
        # folded a column can be one cell.
        joined = widths == self._natural() and not any("\n" in c for row in self.rows for c in row)
        for row in [["\n".join(c) for c in zip(*self.rows, strict=True)]] if joined else self.rows:
            table.add_row(*map(printable, row))
        yield table

    def _frame(self, widths: Sequence[int]) -> Any:
        """Return the same table without rows, as one of rich's."""
        from rich import box
        from rich.table import Table

        # A title is folded to the table's width.
        width = None if self.title is None else min(len(self.title), 100)
        table = Table(
            title=self.title, box=box.SIMPLE, pad_edge=False, title_justify="left", min_width=width
        )
        for column, wide in zip(self.columns, widths, strict=True):
            side: Any = "right" if column in self.right else "left"
            table.add_column(column, justify=side, overflow="fold", width=wide)
        return table

    def _widest(self, separator: str | None) -> list[int]:
        """Return the width of each column's widest part, its heading among them."""
        from rich.cells import cell_len

        columns = zip(self.columns, *self.rows, strict=True)
        return [
            max(cell_len(part) for cell in cells for part in cell.split(separator) or [""])
            for cells in columns
        ]

    def _natural(self) -> list[int]:
        return self._widest("\n")

    def _widths(self, width: int) -> list[int] | None:
        """Return the columns' widths in which no word is broken; None where there are none.

        Rich takes from all columns alike, and so breaks words beside a long text.
        """
        from rich.cells import cell_len

        widths = self._natural()
        least = [min(word, _LONGEST_WORD) for word in self._widest(None)]
        excess = sum(widths) + _GAP * (len(widths) - 1) + _EDGES - width
        if excess <= 0:
            return widths
        for _ in range(excess):
            slack = [(wide, n) for n, wide in enumerate(widths) if wide > least[n]]
            if not slack:
                return None
            widths[max(slack)[1]] -= 1
        cells = (cell for row in self.rows for cell in zip(row, widths, strict=True))
        tall = any(wide < _READABLE and cell_len(text) > _MOST_LINES * wide for text, wide in cells)
        return None if tall else widths

    def _records(self, width: int) -> Iterator[Any]:
        """Give a row as a paragraph: what it is of, then each column's name and value."""
        from rich.text import Text

        # A column without a name only counts the rows.
        heads = 1 + (not self.columns[0])
        if self.title:
            yield Text(printable(self.title), style="italic")
        for row in self.rows:
            yield Text(printable("  ".join(row[:heads])), style="bold")
            pairs = zip(self.columns[heads:], row[heads:], strict=True)
            said = [f"{name}: {value}" for name, value in pairs if value]
            yield Text(printable(_wrapped(said, width)))
        yield Text("")


def _wrapped(parts: Sequence[str], width: int, indent: str = "    ") -> str:
    """Return parts side by side in lines; one is broken only where it is longer than a line."""
    room = width - len(indent)
    kept = [part.replace(" ", _NO_BREAK) if len(part) <= room else part for part in parts]
    text = textwrap.fill("   ".join(kept), width, initial_indent=indent, subsequent_indent=indent)
    return text.replace(_NO_BREAK, " ")


def plain_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str | None = None,
    right: Sequence[str] = NUMERIC,
) -> PlainTable:
    """Return a table; see `PlainTable`."""
    return PlainTable(columns, list(rows), title, right)
