"""Tables look the same whether a column is printed in one piece or cell by cell."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from hitl.cli.tables import PlainTable, plain_table, rich_table

ROWS = [("a", "1"), ("a longer name", "23"), ("", "4")]


def printed(table: object, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return out.getvalue()


def cell_by_cell(table: PlainTable, width: int) -> str:
    plain = rich_table(table.columns, title=table.title, right=table.right)
    for row in table.rows:
        plain.add_row(*row)
    return printed(plain, width)


@pytest.mark.parametrize("width", [12, 40, 120])
@pytest.mark.parametrize("rows", [ROWS, [], [*ROWS, ("two\nlines", "5")], [("細胞", "[1, 2]")]])
def test_columns_in_one_piece_look_as_rows_do(rows: list, width: int) -> None:
    table = plain_table(("name", "objects"), rows, title="what was counted in each field")
    assert printed(table, width) == cell_by_cell(table, width)
