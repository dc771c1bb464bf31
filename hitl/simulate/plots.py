"""Tables and plots of simulations, for people who plan how much to annotate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hitl.simulate.curve import LevelCost, mean_curve
from hitl.simulate.rounds import SimulationResult

# Okabe and Ito's palette (2008).
COLOURS = {
    "queue": "#0072B2",
    "random": "#D55E00",
    "informed": "#000000",
    "confidence": "#CC79A7",
    "size": "#E69F00",
    "disagreement": "#56B4E9",
    "oracle": "#009E73",
}


def markdown_table(results: Mapping[str, SimulationResult]) -> str:
    """Return one row for each data set and strategy: objects to correct, and as share of random.

    Parameters
    ----------
    results : mapping of str to SimulationResult
        By the name of the data set.
    """
    lines = [
        "| data | strategy | first F1 | half of the way | three quarters | 90 % |",
        "|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        for strategy, rows in result.costs().items():
            first = result.curves[strategy][0].points[0].f1
            cells = " | ".join(_cell(row) for row in rows)
            lines.append(f"| {name} | {strategy} | {first:.3f} | {cells} |")
    return "\n".join(lines) + "\n"


def save_plot(path: Path, results: Mapping[str, SimulationResult]) -> None:
    """Draw F1 and evaluation score against objects corrected, F1 against voxels changed.

    Parameters
    ----------
    path : Path
        PNG file to write.
    results : mapping of str to SimulationResult
        One column each.
    """
    from matplotlib.figure import Figure

    panels = (("f1", "objects"), ("score", "objects"), ("f1", "voxels"))
    titles = {"f1": "F1 at IoU 0.5", "score": "evaluation score"}
    costs = {"objects": "objects corrected", "voxels": "voxels changed"}
    figure = Figure(figsize=(4.2 * len(results), 9), layout="constrained")
    grid = figure.subplots(len(panels), len(results), squeeze=False)
    for column, (name, result) in enumerate(results.items()):
        for row, (value, cost) in enumerate(panels):
            axes = grid[row][column]
            _draw(axes, result, value, cost)
            axes.set_xlabel(costs[cost])
            axes.set_ylabel(titles[value])
        grid[0][column].set_title(name)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.savefig(path, dpi=110)


def _draw(axes: Any, result: SimulationResult, value: str, cost: str) -> None:
    """Draw the mean over repeats, and where the repeats lie."""
    for name, repeats in result.curves.items():
        end = max(getattr(curve.points[-1], cost) for curve in repeats)
        grid = np.linspace(0, end, 201)
        mean = mean_curve(repeats, value, cost, grid)
        each = np.stack([mean_curve((curve,), value, cost, grid) for curve in repeats])
        axes.plot(grid, mean, color=COLOURS[name], label=name, linewidth=1.6)
        axes.fill_between(
            grid, each.min(axis=0), each.max(axis=0), color=COLOURS[name], alpha=0.15, linewidth=0
        )
    axes.grid(alpha=0.3)


def _cell(row: LevelCost) -> str:
    if row.objects is None:
        return "–"
    spread = f" ± {row.spread:.1f}" if row.spread else ""
    share = "" if row.of_random is None else f" ({row.of_random:.2f})"
    return f"{row.objects:.1f}{spread}{share}"
