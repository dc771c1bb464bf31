"""A sweep as a picture: a line for each combination, a panel for each measure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hitl.training.sweep.grid import show
from hitl.training.sweep.result import Combination, Sweep, varied_names

# Okabe and Ito's palette (2008), with a marker each, so that grey prints can be read too.
STYLES = (
    ("#0072B2", "o"),
    ("#D55E00", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#E69F00", "v"),
    ("#56B4E9", "P"),
    ("#000000", "X"),
)
PANELS = {
    "f1": "F1 of objects at IoU 0.5",
    "evaluation_score": "evaluation score",
    "f1_nucleus": "F1 of nucleus voxels",
    "f1_edge": "F1 of edge voxels",
}
DICE = {"dice": "Dice of voxels"}
"""A panel more, where there are folds."""

SMALLEST_SPAN = 0.1
"""Narrower axes would make much of small differences."""
MOST_LINES = 60


def write_plot(sweep: Sweep) -> None:
    """Draw the plot where there is something to draw."""
    trained = [one for one in sweep.combinations() if one.done]
    where = "on folds, a mark for each" if sweep.folded else "on the validation part"
    if trained:
        save_plot(sweep.plot_file, trained, f"{sweep.name}: {sweep.model} {where}")


def save_plot(path: Path, combinations: Sequence[Combination], title: str) -> None:
    """Draw the scores of each combination, best on top; one mark per seed, a bar at their mean.

    Parameters
    ----------
    path : Path
        PNG file to write.
    combinations : sequence of Combination
        Best first; the best sixty are drawn.
    title : str
    """
    from matplotlib.figure import Figure

    shown = combinations[:MOST_LINES]
    if len(shown) < len(combinations):
        title = f"{title} (best {len(shown)} of {len(combinations)})"
    figure = Figure(figsize=(13, 2.1 + 0.27 * len(shown)), layout="constrained")
    folded = any(cell.fold is not None for one in shown for cell in one.cells)
    titles = PANELS | DICE if folded else PANELS
    panels = figure.subplots(1, len(titles), sharey=True)
    key = _coloured_by(shown)
    styles = _styles(shown, key)
    for axes, (column, told) in zip(panels, titles.items(), strict=True):
        _draw(axes, shown, column, key, styles)
        axes.set_title(told, fontsize=9)
    # The header of the labels stands on a line of its own above the best.
    panels[0].set_yticks(range(-1, len(shown)), _labels(shown), fontsize=8, family="monospace")
    panels[0].set_ylim(len(shown) - 0.5, -1.5)
    figure.suptitle(f"{title}; higher is better", fontsize=11)
    if key is not None:
        handles = [_mark(style, label) for label, style in styles.items()]
        figure.legend(
            handles=handles, title=key, loc="outside lower center", ncols=len(handles),
            frameon=False, fontsize=9,
        )  # fmt: skip
    figure.savefig(path, dpi=110)


def _labels(shown: Sequence[Combination]) -> list[str]:
    """Return the names of the options, and a line of their values for each combination."""
    names = varied_names(shown)
    rows = [names, *([show(one.varied[name]) for name in names] for one in shown)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(names))]
    lines = [
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return lines if names else ["", *(one.label for one in shown)]


def _coloured_by(shown: Sequence[Combination]) -> str | None:
    """Return the first option with a few values: it gives the colours."""
    for name in varied_names(shown):
        if 1 < len({show(one.varied[name]) for one in shown}) <= len(STYLES):
            return name
    return None


def _styles(shown: Sequence[Combination], key: str | None) -> dict[str, tuple[str, str]]:
    labels = sorted({show(one.varied[key]) for one in shown}) if key is not None else [""]
    return dict(zip(labels, STYLES, strict=False))


def _draw(
    axes: Any,
    shown: Sequence[Combination],
    column: str,
    key: str | None,
    styles: dict[str, tuple[str, str]],
) -> None:
    means = [mean for one in shown if (mean := one.mean(column)) is not None]
    for line, one in enumerate(shown):
        colour, marker = styles["" if key is None else show(one.varied[key])]
        values, mean = one.values(column), one.mean(column)
        if mean is None:
            continue
        axes.plot(values, [line] * len(values), marker, color=colour, markersize=6, alpha=0.75)
        if len(values) > 1:
            axes.plot([mean], [line], "|", color=colour, markersize=15, markeredgewidth=2)
    if means:
        axes.axvline(max(means), color="0.6", linewidth=0.8, linestyle=":")
        _widen(axes)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="both", alpha=0.25)


def _widen(axes: Any) -> None:
    low, high = axes.get_xlim()
    if high - low < SMALLEST_SPAN:
        middle = (low + high) / 2
        axes.set_xlim(middle - SMALLEST_SPAN / 2, middle + SMALLEST_SPAN / 2)


def _mark(style: tuple[str, str], label: str) -> Any:
    from matplotlib.lines import Line2D

    colour, marker = style
    return Line2D([], [], color=colour, marker=marker, linestyle="none", label=label)
