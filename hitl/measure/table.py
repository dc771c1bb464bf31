"""The tables of several fields as one, and as files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.measure.columns import Dictionary
from labels.progress import Progress

EXCEL_ROWS = 1_048_576
IDS_OR_NONE = ("nearest_surface_id", "other_id")
"""0 is background, so that it says that there is no such object."""
RISKY = ("=", "+", "-", "@", "\t", "\r")
WIDE = 18


def joined(tables: Sequence[dict[str, NDArray[Any]]]) -> Any:
    """Return one Arrow table with the columns of all; what a field lacks is null.

    Parameters
    ----------
    tables : sequence of mapping of str to ndarray, shape (N,)
        NaN, None and id 0 of a neighbour become null.

    Returns
    -------
    pyarrow.Table
    """
    import pyarrow as pa

    parts = []
    for columns in tables:
        arrays = {name: _arrow(name, values) for name, values in columns.items()}
        parts.append(pa.table(arrays))
    table = pa.concat_tables(parts, promote_options="permissive")
    return table.select(_order([list(columns) for columns in tables]))


def _arrow(name: str, values: NDArray[Any]) -> Any:
    import pyarrow as pa

    if values.dtype == object:
        return pa.array(values.tolist(), pa.string())
    if values.dtype.kind == "f":
        return pa.array(values.astype(np.float64), pa.float64(), mask=np.isnan(values))
    if values.dtype.kind == "b":
        return pa.array(values, pa.bool_())
    mask = values == 0 if name in IDS_OR_NONE else None
    if name in ("round", "round_changed"):
        mask = values < 0
    return pa.array(values.astype(np.int64), pa.int64(), mask=mask)


def _order(names: Sequence[list[str]]) -> list[str]:
    """Names of all, each list's new ones after those that they follow there."""
    order: list[str] = []
    for found in names:
        place = 0
        for name in found:
            if name in order:
                place = order.index(name) + 1
            else:
                order.insert(place, name)
                place += 1
    return order


def write_parquet(path: Path, table: Any, entries: Dictionary, provenance: dict[str, Any]) -> None:
    """Write Parquet; the schema carries the provenance, each field its unit and meaning."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [
        field.with_metadata({"unit": entry["unit"], "meaning": entry["meaning"]})
        for field, entry in zip(table.schema, entries, strict=True)
    ]
    about = {"hitl": json.dumps(provenance, allow_nan=False)}
    pq.write_table(table.cast(pa.schema(fields, metadata=about)), path, compression="zstd")


def write_csv(path: Path, table: Any) -> None:
    """Write CSV in UTF-8; text that a spreadsheet would take for a formula gets an apostrophe."""
    import pyarrow as pa
    from pyarrow import csv

    for number, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            cells = [plain_text(cell) for cell in table.column(number).to_pylist()]
            table = table.set_column(number, field, pa.array(cells, pa.string()))
    csv.write_csv(table, path)


def plain_text(cell: str | None) -> str | None:
    """Return text that no spreadsheet takes for a formula.

    >>> plain_text("=1+1"), plain_text("person:Ann")
    ("'=1+1", 'person:Ann')
    """
    return f"'{cell}" if cell is not None and cell.startswith(RISKY) else cell


def write_xlsx(
    path: Path,
    table: Any,
    entries: Dictionary,
    provenance: dict[str, Any],
    phases: list[dict[str, Any]],
    progress: Progress,
) -> int:
    """Write a workbook: nuclei, phases, columns, provenance; return the sheets of nuclei.

    Rows beyond Excel's limit go on in further sheets.
    """
    import xlsxwriter

    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    sheets = max(1, -(-table.num_rows // (EXCEL_ROWS - 1)))
    with xlsxwriter.Workbook(str(path), options) as book:
        head = book.add_format({"bold": True, "bottom": 1})
        for number in range(sheets):
            part = table.slice(number * (EXCEL_ROWS - 1), EXCEL_ROWS - 1)
            name = "nuclei" if number == 0 else f"nuclei {number + 1}"
            _write_sheet(book.add_worksheet(name), head, table.column_names, _rows(part, progress))
        if phases:
            names = list(phases[0])
            rows = ([row[n] for n in names] for row in phases)
            _write_sheet(book.add_worksheet("phases"), head, names, rows)
        rows = (list(entry.values()) for entry in entries)
        _write_sheet(book.add_worksheet("columns"), head, ["name", "unit", "meaning"], rows)
        # A row for each field, since a cell of Excel's holds no more than 32,767 characters.
        facts = [
            [key, json.dumps(part)]
            for key, value in provenance.items()
            for part in (value if isinstance(value, list) else [value])
        ]
        _write_sheet(book.add_worksheet("provenance"), head, ["what", "value"], facts)
    return int(sheets)


def _rows(table: Any, progress: Progress) -> Any:
    done = 0
    for batch in table.to_batches(max_chunksize=1000):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
        done += batch.num_rows
        progress(done, table.num_rows, "xlsx")


def _write_sheet(sheet: Any, head: Any, names: Sequence[str], rows: Any) -> None:
    sheet.freeze_panes(1, 0)
    sheet.set_column(0, len(names) - 1, WIDE)
    for column, name in enumerate(names):
        sheet.write_string(0, column, name, head)
    for number, row in enumerate(rows, start=1):
        for column, cell in enumerate(row):
            if isinstance(cell, str):
                sheet.write_string(number, column, plain_text(cell))
            elif isinstance(cell, bool):
                sheet.write_boolean(number, column, cell)
            elif cell is not None:
                sheet.write_number(number, column, cell)
