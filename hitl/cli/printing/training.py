"""What is printed of training: runs, promotions and sweeps."""

from __future__ import annotations

import statistics
from typing import Any

from hitl.cli.tables import plain_table
from hitl.evaluation.strata import SPURIOUS, Stratum
from hitl.training.promote import Promoted
from hitl.training.sweep.grid import show
from hitl.training.sweep.result import (
    QUALITY,
    TEST_COLUMNS,
    Combination,
    Sweep,
    sweep_record,
    varied_names,
)
from hitl.training.train import Trained
from labels.numbers import number_of

DIGITS = {"minutes": 1, "megabytes": 1}


def trained(done: Trained) -> tuple[Trained, str]:
    """Tell of a finished run."""
    values = ", ".join(f"{key} {value:.3f}" for key, value in done.validation.items())
    return done, (
        f"{done.run}: {number_of(done.epochs, 'epoch')} in {done.seconds:.0f} s, best "
        f"{done.best_epoch} ({f'validation: {values}' if values else 'not validated'})"
    )


def promoted(done: Promoted) -> tuple[dict[str, Any], Any]:
    """Tell of a run that is or would be in use, and of its comparison with the one before."""
    from rich.console import Group
    from rich.text import Text

    data = {**vars(done), "refused": done.refused}
    if done.compared_with is None:
        return data, _verdict(done)
    table = plain_table(
        ("stratum", "items", "in use", "candidate", "difference", "95 %", "p"),
        [_stratum_row(stratum) for stratum in done.strata],
        title=f"{done.run} against {done.compared_with} on {', '.join(done.fields)}",
        right=("items", "in use", "candidate", "difference", "p"),
    )
    return data, Group(table, Text(_verdict(done)))


def _verdict(done: Promoted) -> str:
    """Say what becomes of a run, and what speaks against it."""
    against = "; ".join(done.objections)
    if done.refused:
        return f"{done.run} would be refused, it is worse: {against}; nothing was written"
    line = f"{done.run} {'would be' if done.dry_run else 'is'} in use"
    line += f" in place of {done.replaced}" if done.replaced else ""
    line += f", in spite of: {against}" if against else ""
    return line + ("; nothing was written" if done.dry_run else "")


def _stratum_row(stratum: Stratum) -> tuple[str, ...]:
    scores = (stratum.in_use, stratum.candidate)
    return (
        stratum.name,
        str(stratum.objects),
        *(f"{s:.0f}" if stratum.name == SPURIOUS else f"{s:.3f}" for s in scores),
        f"{stratum.difference:+.3f}",
        f"{stratum.low:+.3f} to {stratum.high:+.3f}",
        f"{stratum.p:.4f}",
    )


def swept(done: Sweep) -> tuple[dict[str, Any], Any]:
    """Tell of the cells of a sweep, what failed, and where the files are."""
    from rich.console import Group

    lines = [f"failed, {cell.label}: {cell.reason}" for cell in done.failed]
    waiting = sum(cell.state == "waiting" for cell in done.cells)
    lines += [f"{number_of(waiting, 'cell is', 'cells are')} not trained yet"] if waiting else []
    lines.append(f"table: {done.table_file}")
    lines += [f"plot: {done.plot_file}"] if done.plot_file.is_file() else []
    return sweep_record(done), Group(_sweep_table(done), "\n".join(lines))


def _sweep_table(sweep: Sweep) -> Any:
    trained = [one for one in sweep.combinations() if one.done]
    names = varied_names(sweep.combinations())
    columns, simplest = sweep.columns, sweep.simplest
    keys = [(key, False) for key in columns]
    if any(cell.test for cell in sweep.cells):
        keys += [(key, True) for key in TEST_COLUMNS]
    titles = [TEST_COLUMNS[key] if test else columns[key] for key, test in keys]
    where = "on folds, mean ± SD over them" if sweep.folded else "on the validation part"
    title = (
        f"{sweep.name}: {number_of(len(sweep.cells), 'cell')} {where}, sorted by "
        f"{columns.get(sweep.sort, sweep.sort)}; F1 of voxels, @0.5 of objects; * the best"
    )
    if simplest is not None:
        title += "; ° the smallest network within one standard error of it, over the same folds"
    best = {(key, test): _best(trained, key, test) for key, test in keys if key in QUALITY}
    rows = []
    for one in trained:
        cells = []
        for key, test in keys:
            top = one.mean(key, test=test) is not None and one.mean(key, test=test) == best.get(
                (key, test)
            )
            cells.append(_cell(one, key, test) + ("*" if top else ""))
        runs = ", ".join(cell.run for cell in one.done)
        if one == simplest:
            cells[[key for key, _ in keys].index(sweep.sort)] += "°"
        rows.append([*(show(one.varied[name]) for name in names), *cells, runs])
    return plain_table([*names, *titles, "run"], rows, title=title, right=titles)


def _best(trained: list[Combination], key: str, test: bool) -> float | None:
    means = [mean for one in trained if (mean := one.mean(key, test=test)) is not None]
    return max(means, default=None)


def _cell(one: Combination, key: str, test: bool) -> str:
    values, digits = one.values(key, test=test), DIGITS.get(key, 3)
    if not values:
        return "–"
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{spread}"
