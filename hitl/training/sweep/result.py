"""What a sweep has found: one row for each cell, best first; the table as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hitl.project.folder import now, write_json, write_text
from hitl.training.sweep.cells import Values
from hitl.training.sweep.grid import show

COLUMNS = {
    "f1_edge": "F1 edge",
    "f1_nucleus": "F1 nucleus",
    "f1": "F1 @0.5",
    "evaluation_score": "score",
    "val_loss": "val loss",
    "minutes": "min",
}
"""Measured on the validation part, and what the columns are called; F1 @0.5 is that of objects."""

FOLD_COLUMNS = {"dice": "Dice", "megabytes": "MB"}
"""Besides, on folds: Dice of voxels, also that of each class, and the size of the weights."""

TEST_COLUMNS = {"f1": "test F1", "evaluation_score": "test score"}
QUALITY = ("f1", "evaluation_score", "dice", "f1_nucleus", "f1_edge")
"""Higher is better; in the order that ties are broken in."""


@dataclass(frozen=True)
class CellResult:
    """One cell.

    Parameters
    ----------
    varied : mapping
        Its options that differ from other cells', but for the seed.
    seed : int or None
    state : {"done", "failed", "waiting"}
    run : str
        Empty while waiting.
    reason : str
        Why it failed.
    scores, test : mapping of str to (float or None)
        By the keys of `Sweep.columns` and of `TEST_COLUMNS`.
    fold : int or None
        On which it was scored, of those that are.
    """

    varied: dict[str, Any]
    label: str
    seed: int | None
    state: str
    run: str = ""
    reason: str = ""
    scores: Values = field(default_factory=dict)
    test: Values = field(default_factory=dict)
    fold: int | None = None


@dataclass(frozen=True)
class Combination:
    """The cells that differ in nothing but the seed and the fold.

    Parameters
    ----------
    cells : tuple of CellResult
    """

    cells: tuple[CellResult, ...]

    @property
    def label(self) -> str:
        """What tells it from the others."""
        return self.cells[0].label

    @property
    def varied(self) -> dict[str, Any]:
        """Options that differ from other combinations'."""
        return self.cells[0].varied

    @property
    def done(self) -> list[CellResult]:
        """The cells that were trained."""
        return [cell for cell in self.cells if cell.state == "done"]

    def values(self, key: str, *, test: bool = False) -> list[float]:
        """Return what the trained cells have of a column; of each fold the mean over seeds."""
        return list(self.by_fold(key, test=test).values())

    def by_fold(self, key: str, *, test: bool = False) -> dict[int, float]:
        """Return what the trained cells have of a column by fold, or by number without folds."""
        found: dict[int, list[float]] = {}
        for number, cell in enumerate(self.done):
            value = (cell.test if test else cell.scores).get(key)
            if value is not None and math.isfinite(value):
                found.setdefault(number if cell.fold is None else cell.fold, []).append(value)
        return {fold: statistics.fmean(values) for fold, values in sorted(found.items())}

    def behind(self, other: Combination, key: str) -> tuple[float, float] | None:
        """Return by how much another is better on the same folds, and the standard error of that.

        None with fewer than two folds in common.
        """
        mine, theirs = self.by_fold(key), other.by_fold(key)
        differences = [theirs[fold] - mine[fold] for fold in mine if fold in theirs]
        if len(differences) < 2:
            return None
        error = statistics.stdev(differences) / math.sqrt(len(differences))
        return statistics.fmean(differences), error

    def mean(self, key: str, *, test: bool = False) -> float | None:
        """Return the mean over seeds or folds, None where there is none."""
        values = self.values(key, test=test)
        return statistics.fmean(values) if values else None

    def rank(self, sort: str) -> tuple[float, ...]:
        """Return what combinations are sorted by, smallest first."""
        keys = dict.fromkeys([sort, *QUALITY])
        means = [(key, self.mean(key)) for key in keys]
        return tuple(
            math.inf if mean is None else -mean if key in QUALITY else mean for key, mean in means
        )


@dataclass(frozen=True)
class Sweep:
    """A sweep, finished or not.

    Parameters
    ----------
    name, model : str
    folder : Path
        Where table and plot are.
    sort : str
        Column that the rows are sorted by.
    cells : tuple of CellResult
    """

    name: str
    model: str
    folder: Path
    sort: str
    cells: tuple[CellResult, ...]

    def combinations(self) -> list[Combination]:
        """Return the combinations, best first; what failed or waits comes last."""
        groups: dict[str, list[CellResult]] = {}
        for cell in self.cells:
            groups.setdefault(cell.label, []).append(cell)
        found = [Combination(tuple(cells)) for cells in groups.values()]
        return sorted(found, key=lambda one: (not one.done, one.rank(self.sort)))

    @property
    def folded(self) -> bool:
        """Whether the cells were scored on folds."""
        return any(cell.fold is not None for cell in self.cells)

    @property
    def columns(self) -> dict[str, str]:
        """What was measured, and what it is called."""
        if not self.folded:
            return COLUMNS
        classes = dict.fromkeys(
            key for cell in self.cells for key in cell.scores if key.startswith("dice_")
        )
        named = {key: f"Dice {key.removeprefix('dice_')}" for key in classes}
        return {**COLUMNS, "dice": FOLD_COLUMNS["dice"], **named, "megabytes": "MB"}

    @property
    def simplest(self) -> Combination | None:
        """The combination of the smallest network within one standard error of the best.

        The error is that of the differences on the same folds (the one-standard-error rule of
        Breiman et al. 1984, paired). None where there are no folds, or only one combination.
        """
        if not self.folded or self.sort not in QUALITY:
            return None
        trained = [one for one in self.combinations() if one.mean(self.sort) is not None]
        if len(trained) < 2:
            return None
        best = trained[0]
        near = [best]
        for one in trained[1:]:
            found = one.behind(best, self.sort)
            if found is not None and found[0] <= found[1]:
                near.append(one)
        return min(near, key=lambda one: one.mean("megabytes") or math.inf)

    def ordered(self) -> list[CellResult]:
        """Return the cells in the order of their combinations."""
        return [cell for one in self.combinations() for cell in one.cells]

    @property
    def failed(self) -> list[CellResult]:
        """The cells that could not be trained."""
        return [cell for cell in self.cells if cell.state == "failed"]

    @property
    def table_file(self) -> Path:
        """CSV file, a row for each cell."""
        return self.folder / "table.csv"

    @property
    def record_file(self) -> Path:
        """JSON file with everything."""
        return self.folder / "sweep.json"

    @property
    def plot_file(self) -> Path:
        """PNG file."""
        return self.folder / "plot.png"


def write_tables(sweep: Sweep) -> None:
    """Write the CSV and the JSON file."""
    sweep.folder.mkdir(parents=True, exist_ok=True)
    write_text(sweep.table_file, as_csv(sweep))
    write_json(sweep.record_file, {"made": now(), **sweep_record(sweep)})


def as_csv(sweep: Sweep) -> str:
    """Return one row for each cell, best combination first."""
    names = varied_names(sweep.combinations())
    with_test = any(cell.test for cell in sweep.cells)
    test = [f"test_{key}" for key in TEST_COLUMNS] if with_test else []
    text = io.StringIO()
    writer = csv.writer(text)
    fold = ["fold"] if sweep.folded else []
    writer.writerow([*names, "seed", *fold, "state", *sweep.columns, *test, "run", "reason"])
    for cell in sweep.ordered():
        values = [cell.scores.get(key) for key in sweep.columns]
        values += [cell.test.get(key) for key in TEST_COLUMNS] if with_test else []
        writer.writerow(
            [
                *(show(cell.varied[name]) for name in names),
                "" if cell.seed is None else cell.seed,
                *([cell.fold] if sweep.folded else []),
                cell.state,
                *("" if value is None else f"{value:.6g}" for value in values),
                cell.run,
                cell.reason,
            ]
        )
    return text.getvalue()


def sweep_record(sweep: Sweep) -> dict[str, Any]:
    """Return all of a sweep as JSON has it."""
    best = sweep.combinations()[0]
    runs = [cell.run for cell in best.done]
    return {
        "sweep": sweep.name,
        "model": sweep.model,
        "sort": sweep.sort,
        "best": {"options": best.varied, "runs": runs} if runs else None,
        **_fold_record(sweep),
        "cells": [_cell_record(cell, sweep.columns) for cell in sweep.ordered()],
        "done": sum(cell.state == "done" for cell in sweep.cells),
        "failed": len(sweep.failed),
        "table": str(sweep.table_file),
        "plot": str(sweep.plot_file),
    }


def _fold_record(sweep: Sweep) -> dict[str, Any]:
    """Return mean and SD over folds, and how far each is behind the best, where there are folds."""
    if not sweep.folded:
        return {}
    found = [one for one in sweep.combinations() if one.done]
    simplest = sweep.simplest
    rows = []
    for one in found:
        values = {key: one.values(key) for key in sweep.columns}
        behind = one.behind(found[0], sweep.sort)
        rows.append(
            {
                "options": one.varied,
                "mean": {key: statistics.fmean(each) for key, each in values.items() if each},
                "sd": {k: statistics.stdev(each) for k, each in values.items() if len(each) > 1},
                "behind_best": behind and {"mean": behind[0], "standard_error": behind[1]},
            }
        )
    return {"combinations": rows, "simplest": simplest and {"options": simplest.varied}}


def _cell_record(cell: CellResult, columns: Iterable[str]) -> dict[str, Any]:
    return {
        "options": cell.varied,
        "seed": cell.seed,
        **({} if cell.fold is None else {"fold": cell.fold}),
        "state": cell.state,
        "run": cell.run or None,
        "reason": cell.reason or None,
        **{key: _finite(cell.scores.get(key)) for key in columns},
        "test": {key: _finite(value) for key, value in cell.test.items()} or None,
    }


def varied_names(combinations: Sequence[Combination]) -> list[str]:
    """Return the options that differ, in the order of the grid."""
    return list(dict.fromkeys(key for one in combinations for key in one.varied))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
