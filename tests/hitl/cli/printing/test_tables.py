"""Tables: the same whether printed in one piece or by cells; paragraphs where words do not fit."""

from __future__ import annotations

import io

import pytest
from rich import box
from rich.console import Console
from rich.table import Table

from hitl.cli.tables import PlainTable, plain_table

ROWS = [("a", "1"), ("a longer name", "23"), ("", "4")]


def printed(table: object, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return out.getvalue()


def cell_by_cell(table: PlainTable, width: int) -> str:
    plain = Table(
        title=table.title,
        box=box.SIMPLE,
        pad_edge=False,
        title_justify="left",
        min_width=len(table.title or ""),
    )
    for column in table.columns:
        plain.add_column(column, justify="right" if column in table.right else "left")
    for row in table.rows:
        plain.add_row(*row)
    return printed(plain, width)


@pytest.mark.parametrize("width", [40, 120])
@pytest.mark.parametrize("rows", [ROWS, [*ROWS, ("two\nlines", "5")], [("細胞", "[1, 2]")]])
def test_columns_in_one_piece_look_as_rows_do(rows: list, width: int) -> None:
    table = plain_table(("name", "objects"), rows, title="what was counted in each field")
    assert printed(table, width) == cell_by_cell(table, width)


@pytest.mark.parametrize("width", [30, 40, 50, 60, 80])
def test_no_word_is_broken_at_any_width(width: int) -> None:
    names = ("", "field", "proposed", "accepted", "corrected", "why")
    rows = [
        ("1", "nuclei_train", "30", "0", "–", "the models disagree about it"),
        ("2", "spheroid", "1200", "17", "", "touches the border"),
    ]
    lines = printed(plain_table(names, rows, title="2 of 9 to look at"), width).splitlines()
    assert max(map(len, lines)) <= width
    words = " ".join(lines).replace(":", "").split()
    assert {w for row in rows for cell in row for w in cell.split()} <= set(words)
    assert set(names) - {"", "field"} <= set(words)


def test_what_does_not_fit_is_a_paragraph() -> None:
    table = plain_table(
        ("", "field", "object", "expected error"), [("1", "nuclei", "12", "0.50")], title="1 of 3"
    )
    assert printed(table, 30).rstrip() == (
        "1 of 3\n1  nuclei\n    object: 12\n    expected error: 0.50"
    )


def test_of_no_rows_only_the_title_is_told() -> None:
    assert printed(plain_table(("name", "objects"), [], title="0 fields"), 80).strip() == "0 fields"
