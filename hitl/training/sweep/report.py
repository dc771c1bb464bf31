"""A sweep as a table: for the terminal, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import statistics
from typing import Any

from hitl.cli.tables import plain_table
from hitl.project.folder import now, write_json, write_text
from hitl.training.sweep.grid import show
from hitl.training.sweep.plot import save_plot
from hitl.training.sweep.result import (
    COLUMNS,
    QUALITY,
    TEST_COLUMNS,
    Combination,
    Sweep,
    varied_names,
)

DIGITS = {"minutes": 1}


def write_tables(sweep: Sweep) -> None:
    """Write the CSV and the JSON file."""
    sweep.folder.mkdir(parents=True, exist_ok=True)
    write_text(sweep.table_file, as_csv(sweep))
    write_json(sweep.record_file, {"made": now(), **sweep.to_dict()})


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


def printed(sweep: Sweep) -> Any:
    """Return the table, what failed, and where the files are."""
    from rich.console import Group

    lines = [f"failed, {cell.label}: {cell.reason}" for cell in sweep.failed]
    waiting = sum(cell.state == "waiting" for cell in sweep.cells)
    lines += [f"{waiting} cells are not trained yet"] if waiting else []
    lines.append(f"table: {sweep.table_file}")
    lines += [f"plot: {sweep.plot_file}"] if sweep.plot_file.is_file() else []
    return Group(_table(sweep), "\n".join(lines))


def _table(sweep: Sweep) -> Any:
    from rich.text import Text

    trained = [one for one in sweep.combinations() if one.done]
    names = varied_names(sweep.combinations())
    keys = [(key, False) for key in COLUMNS]
    if any(cell.test for cell in sweep.cells):
        keys += [(key, True) for key in TEST_COLUMNS]
    titles = [TEST_COLUMNS[key] if test else COLUMNS[key] for key, test in keys]
    title = (
        f"{sweep.name}: {len(sweep.cells)} cells on the validation part, sorted by "
        f"{COLUMNS[sweep.sort]}; F1 of voxels, @0.5 of objects"
    )
    table = plain_table([*names, *titles, "run"], [], title=title, right=titles)
    for column in table.columns[len(names) :]:
        # Numbers and runs stay whole; long names of options may be folded.
        column.no_wrap = True
    best = {(key, test): _best(trained, key, test) for key, test in keys if key in QUALITY}
    for one in trained:
        cells = []
        for key, test in keys:
            top = one.mean(key, test=test) is not None and one.mean(key, test=test) == best.get(
                (key, test)
            )
            cells.append(Text(_cell(one, key, test), style="bold" if top else ""))
        runs = ", ".join(cell.run for cell in one.done)
        table.add_row(*(Text(show(one.varied[name])) for name in names), *cells, Text(runs))
    return table


def _best(trained: list[Combination], key: str, test: bool) -> float | None:
    means = [mean for one in trained if (mean := one.mean(key, test=test)) is not None]
    return max(means, default=None)


def _cell(one: Combination, key: str, test: bool) -> str:
    values, digits = one.values(key, test=test), DIGITS.get(key, 3)
    if not values:
        return "–"
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{spread}"
