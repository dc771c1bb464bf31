"""A sweep in files: the table as CSV, everything as JSON, and a plot."""

from __future__ import annotations

import csv
import io

from hitl.project.folder import now, write_json, write_text
from hitl.training.sweep.grid import show
from hitl.training.sweep.plot import save_plot
from hitl.training.sweep.result import (
    COLUMNS,
    TEST_COLUMNS,
    Sweep,
    sweep_record,
    varied_names,
)


def write_tables(sweep: Sweep) -> None:
    """Write the CSV and the JSON file."""
    sweep.folder.mkdir(parents=True, exist_ok=True)
    write_text(sweep.table_file, as_csv(sweep))
    write_json(sweep.record_file, {"made": now(), **sweep_record(sweep)})


def write_plot(sweep: Sweep) -> None:
    """Draw the plot where there is something to draw."""
    trained = [one for one in sweep.combinations() if one.done]
    if trained:
        save_plot(sweep.plot_file, trained, f"{sweep.name}: {sweep.model} on the validation part")


def as_csv(sweep: Sweep) -> str:
    """Return one row for each cell, best combination first."""
    names = varied_names(sweep.combinations())
    with_test = any(cell.test for cell in sweep.cells)
    test = [f"test_{key}" for key in TEST_COLUMNS] if with_test else []
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*names, "seed", "state", *COLUMNS, *test, "run", "reason"])
    for cell in sweep.ordered():
        values = [cell.scores.get(key) for key in COLUMNS]
        values += [cell.test.get(key) for key in TEST_COLUMNS] if with_test else []
        writer.writerow(
            [
                *(show(cell.varied[name]) for name in names),
                "" if cell.seed is None else cell.seed,
                cell.state,
                *("" if value is None else f"{value:.6g}" for value in values),
                cell.run,
                cell.reason,
            ]
        )
    return text.getvalue()
