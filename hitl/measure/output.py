"""The folder that a measurement fills: all of its files or none."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hitl.measure.columns import dictionary
from hitl.measure.fucci import Phases
from hitl.measure.fucci_plot import save_scatter
from hitl.measure.requests import FORMATS
from hitl.measure.table import EXCEL_ROWS, write_csv, write_parquet, write_xlsx
from hitl.project.errors import MeasureError
from hitl.project.folder import write_json
from hitl.project.reporter import Reporter

NAMES = (*(f"nuclei.{kind}" for kind in FORMATS), "columns.json", "summary.json", "fucci.png")
"""Every file that a measurement may write."""


def check_folder(folder: Path, overwrite: bool) -> None:
    """Refuse before the work is done what would fail after it.

    Raises
    ------
    MeasureError
        Files that may not be replaced, or no folder to write to.
    """
    if folder.exists() and not folder.is_dir():
        raise MeasureError(f"{folder}: expected a folder, got a file; name another with --output")
    if not folder.absolute().parent.is_dir():
        raise MeasureError(f"{folder.absolute().parent} does not exist; make it first")
    taken = [name for name in NAMES if (folder / name).exists()]
    if taken and not overwrite:
        raise MeasureError(
            f"{folder} holds {', '.join(taken)} already; name another folder or say --overwrite"
        )


def write_files(
    folder: Path,
    table: Any,
    channels: dict[str, str],
    provenance: dict[str, Any],
    phases: dict[str, Phases],
    formats: Sequence[str],
    reporter: Reporter,
) -> dict[str, Path]:
    """Write everything beside the folder first, then move it in; return the files.

    Raises
    ------
    OSError
        No space, or no permission; nothing was written then.
    """
    parent = folder.absolute().parent
    with tempfile.TemporaryDirectory(dir=parent, prefix=f".{folder.name}.") as name:
        partial = Path(name)
        entries = dictionary(table.column_names, channels)
        if "parquet" in formats:
            write_parquet(partial / "nuclei.parquet", table, entries, provenance)
        if "csv" in formats:
            write_csv(partial / "nuclei.csv", table)
        if "xlsx" in formats:
            path, rows = partial / "nuclei.xlsx", phase_rows(phases)
            sheets = write_xlsx(path, table, entries, provenance, rows, reporter.progress)
            if sheets > 1:
                reporter.note(
                    f"nuclei.xlsx: {table.num_rows} rows are more than Excel's {EXCEL_ROWS}; they "
                    f"go on in {sheets} sheets"
                )
        write_json(partial / "columns.json", entries)
        write_json(partial / "summary.json", provenance)
        if phases:
            save_scatter(partial / "fucci.png", phases)
        _move_in(partial, folder)
    return {name: folder / name for name in NAMES if (folder / name).exists()}


def _move_in(partial: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name in NAMES:
        if (partial / name).exists():
            (partial / name).replace(folder / name)
        else:
            # What an earlier measurement left would not belong to this one.
            (folder / name).unlink(missing_ok=True)


def phase_rows(phases: dict[str, Phases]) -> list[dict[str, Any]]:
    """Return one row per field: nuclei by phase, uncertain ones, thresholds."""
    rows = []
    for field, found in phases.items():
        about = found.summary()
        row = {"field": field, "nuclei": about["nuclei"], **about["phases"]}
        row["uncertain"] = about["uncertain"]
        row["uncertain_fraction"] = about["uncertain_fraction"]
        for name in found.channels:
            gate = about["thresholds"].get(name)
            row[f"threshold_{name}"] = None if gate is None else gate["mean_intensity"]
        rows.append(row)
    return rows
