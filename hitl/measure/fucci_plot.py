"""A picture of two FUCCI channels, nucleus by nucleus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hitl.measure.fucci import PHASES, Phases
from labels.numbers import number_of

# Okabe and Ito's palette (2008), with a marker of its own for each phase.
STYLES = {"G1": ("#D55E00", "o"), "G1/S": ("#E69F00", "s"), "S/G2/M": ("#009E73", "^"),
          "M→G1": ("#0072B2", "D")}  # fmt: skip
COLUMNS = 3
MOST_FIELDS = 24


def save_scatter(path: Path, found: dict[str, Phases]) -> None:
    """Draw one panel per field: both channels on log scales, thresholds, phases.

    Uncertain nuclei are hollow.

    Parameters
    ----------
    path : Path
        PNG file to write.
    found : mapping of str to Phases
        By field; the first 24 are drawn.
    """
    from matplotlib.figure import Figure

    drawn = dict(list(found.items())[:MOST_FIELDS])
    across = min(len(drawn), COLUMNS)
    down = -(-len(drawn) // across)
    figure = Figure(figsize=(4.6 * across + 0.4, 4.4 * down + 0.5), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False)
    for panel, (name, phases) in zip(grid.flat, drawn.items(), strict=False):
        _panel(panel, name, phases)
    for panel in list(grid.flat)[len(drawn) :]:
        panel.set_visible(False)
    _legend(figure)
    figure.savefig(path, dpi=110)


def _panel(axes: Any, name: str, phases: Phases) -> None:
    x, y = phases.signals
    for number, phase in enumerate(PHASES):
        colour, marker = STYLES[phase]
        for uncertain in (False, True):
            rows = (phases.phase == number) & (phases.uncertain == uncertain)
            axes.scatter(
                x[rows], y[rows], s=18, marker=marker, linewidths=0.8, edgecolors=colour,
                facecolors="none" if uncertain else colour, alpha=0.85,
            )  # fmt: skip
    rows = phases.phase < 0
    axes.scatter(x[rows], y[rows], s=18, marker="x", color="#666666", linewidths=0.8)
    if phases.gates is not None:
        for draw, gate in zip((axes.axvline, axes.axhline), phases.gates, strict=True):
            draw(10**gate.threshold, color="#444444", linewidth=1, linestyle="--")
    if (phases.signals > 0).any():
        _log_scale(axes)
    share = f"{np.mean(phases.uncertain):.0%} uncertain" if len(x) else "no nuclei"
    axes.set_title(
        f"{name}: {number_of(len(x), 'nucleus', 'nuclei')}, {share}", fontsize=9, parse_math=False
    )
    axes.set_xlabel(f"{phases.channels[0]}, mean intensity", fontsize=8, parse_math=False)
    axes.set_ylabel(f"{phases.channels[1]}, mean intensity", fontsize=8, parse_math=False)


def _log_scale(axes: Any) -> None:
    """Make both axes logarithmic, with numbers at 1, 2 and 5 of each decade that do not overlap."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=8)


def _legend(figure: Any) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="", marker=marker, color=colour, label=phase)
        for phase, (colour, marker) in STYLES.items()
    ]
    handles += [
        Line2D([], [], linestyle="", marker="o", markerfacecolor="none", color="#444444",
               label="uncertain"),
        Line2D([], [], linestyle="--", color="#444444", label="threshold"),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
