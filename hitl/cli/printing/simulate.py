"""What is printed of simulations: what corrections cost, and synthetic stacks."""

from __future__ import annotations

from typing import Any

from hitl.simulate.rounds import SimulationResult
from hitl.simulate.stacks import Synthesised
from labels.numbers import number_of


def simulated(done: SimulationResult) -> tuple[dict[str, Any], Any]:
    """Tell what each strategy needs to come part of the way."""
    from rich.table import Table

    costs = done.costs()
    curves = {name: [curve.points for curve in repeats] for name, repeats in done.curves.items()}
    table = Table(title=f"objects to correct on {', '.join(done.fields)}")
    table.add_column("strategy")
    for row in next(iter(costs.values())):
        table.add_column(f"F1 {row.f1:.2f}", justify="right")
        table.add_column("of random", justify="right")
    for name, rows in costs.items():
        cells = []
        for row in rows:
            cells.append("–" if row.objects is None else f"{row.objects:.1f}")
            cells.append("–" if row.of_random is None else f"{row.of_random:.2f}")
        table.add_row(name, *cells)
    return {**vars(done), "costs": costs, "curves": curves}, table


def synthesised(done: Synthesised) -> tuple[Synthesised, str]:
    """Tell of stacks that were drawn."""
    nuclei = sum(pair.nuclei for pair in done.stacks)
    added = f", added to {done.into}" if done.into is not None else ""
    return done, (
        f"{number_of(len(done.stacks), 'stack')} with {number_of(nuclei, 'nucleus', 'nuclei')} in "
        f"{done.folder}{added}"
    )
