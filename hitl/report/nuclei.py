"""The nuclei of a project and of an evaluation, as tables of columns for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.objects import NO_ROUND, Status
from hitl.project.folder import Project
from hitl.report.inputs import Inputs
from labels.overlaps import count_overlaps

MAX_ROWS = 200_000
"""Rows that a page holds, over all of its tables; further tables are left to the JSON of scores."""

BINS = 24

Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Table:
    """Rows as columns.

    Parameters
    ----------
    name : str
        What the rows are.
    columns : tuple of (str, str, str)
        Key, heading (with unit), kind: "text" or "number".
    values : dict of str to list
        By key, all of one length.
    """

    name: str
    columns: tuple[tuple[str, str, str], ...]
    values: Columns

    def __len__(self) -> int:
        return len(self.values[self.columns[0][0]])

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        return {
            "name": self.name,
            "columns": [list(column) for column in self.columns],
            "values": self.values,
        }


SCORED_COLUMNS = (
    ("stack", "stack", "text"),
    ("id", "nucleus", "number"),
    ("kind", "outcome", "text"),
    ("score", "score", "number"),
    ("iou", "IoU", "number"),
    ("volume", "volume, µm³", "number"),
    ("best", "predicted as", "number"),
    ("z", "z, µm", "number"),
    ("y", "y, µm", "number"),
    ("x", "x, µm", "number"),
    ("border", "cut by border", "text"),
)

LABEL_COLUMNS = (
    ("stack", "stack", "text"),
    ("id", "nucleus", "number"),
    ("status", "status", "text"),
    ("origin", "made by", "text"),
    ("confidence", "confidence", "number"),
    ("round", "last changed in round", "number"),
    ("volume", "volume, µm³", "number"),
    ("z", "z, µm", "number"),
    ("y", "y, µm", "number"),
    ("x", "x, µm", "number"),
)


@dataclass(frozen=True)
class Sizes:
    """A histogram of volumes on a logarithmic axis.

    Parameters
    ----------
    edges_um3 : tuple of float
    counts : dict of str to list of int
        By what the nuclei are.
    medians_um3 : dict of str to float
    """

    edges_um3: tuple[float, ...]
    counts: dict[str, list[int]]
    medians_um3: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        edges = list(self.edges_um3)
        return {"edges_um3": edges, "counts": self.counts, "medians_um3": self.medians_um3}


def scored_tables(inputs: Inputs) -> tuple[list[Table], list[str]]:
    """Return one table per model of the evaluation, and the models that found no room.

    The model whose errors are shown comes first.
    """
    if inputs.evaluation is None:
        return [], []
    found = inputs.evaluation["models"]
    order = sorted(found, key=lambda model: model != inputs.shown_model)
    tables: list[Table] = []
    left_out = []
    for model in order:
        table = _scored_table(model, found[model]["stacks"])
        if tables and sum(map(len, tables)) + len(table) > MAX_ROWS:
            left_out.append(model)
        else:
            tables.append(table)
    return tables, left_out


def _scored_table(model: str, stacks: dict[str, Any]) -> Table:
    values: Columns = {key: [] for key, _, _ in SCORED_COLUMNS}
    for stack, scores in stacks.items():
        for row in scores.get("objects", ()):
            _append(values, _scored_row(stack, row))
        for case in scores.get("cases", ()):
            if case["kind"] == "spurious":
                _append(values, _spurious_row(stack, case))
    return Table(f"scored: {model}", SCORED_COLUMNS, values)


def _scored_row(stack: str, row: dict[str, Any]) -> dict[str, Any]:
    z, y, x = row["centroid_um"] or (None, None, None)
    return {
        "stack": stack,
        "id": row["id"],
        "kind": row["kind"],
        "score": round(row["score"], 3),
        "iou": round(row["iou"], 3),
        "volume": _rounded(row["volume_um3"]),
        "best": row["best_id"] or None,
        "z": _um(z),
        "y": _um(y),
        "x": _um(x),
        "border": "yes" if row["at_border"] else "no",
    }


def _spurious_row(stack: str, case: dict[str, Any]) -> dict[str, Any]:
    z, y, x = case["centroid_um"] or (None, None, None)
    row = dict.fromkeys((key for key, _, _ in SCORED_COLUMNS), None)
    place = {"z": _um(z), "y": _um(y), "x": _um(x)}
    return {**row, "stack": stack, "kind": "spurious", "best": case["pred_ids"][0], **place}


def label_table(project: Project) -> Table:
    """Return every object of the store's last commit, measured."""
    values: Columns = {key: [] for key, _, _ in LABEL_COLUMNS}
    store = project.store()
    for info in store.stacks():
        view = store.stack(info.name)
        objects = view.objects
        if not len(objects.id):
            continue
        found = count_overlaps(view.labels, view.labels)
        at = np.searchsorted(found.truth.ids, objects.id)
        known = np.isin(objects.id, found.truth.ids)
        spacing = np.asarray(info.spacing_um)
        for n in np.flatnonzero(known).tolist():
            z, y, x = (found.truth.centroids[at[n]] * spacing).tolist()
            confidence = float(objects.confidence[n])
            number = int(objects.round[n])
            row = {
                "stack": info.name,
                "id": int(objects.id[n]),
                "status": Status(int(objects.status[n])).name.lower(),
                "origin": objects.origins[int(objects.origin[n])],
                "confidence": None if np.isnan(confidence) else round(confidence, 3),
                "round": None if number == NO_ROUND else number,
                "volume": _rounded(float(found.truth.sizes[at[n]] * spacing.prod())),
                "z": _um(z),
                "y": _um(y),
                "x": _um(x),
            }
            _append(values, row)
    return Table("labels of the project", LABEL_COLUMNS, values)


def sizes(groups: dict[str, Sequence[float]]) -> Sizes | None:
    """Return the histogram of volumes of several groups in the same bins; None without any.

    Parameters
    ----------
    groups : dict of str to sequence of float
        Volumes in µm³ by what they are of.
    """
    known = {name: np.asarray(v, np.float64) for name, v in groups.items() if len(v)}
    if not known:
        return None
    edges = _edges(np.concatenate(list(known.values())))
    return Sizes(
        tuple(edges.tolist()),
        {name: np.histogram(v, edges)[0].tolist() for name, v in known.items()},
        {name: float(np.median(v)) for name, v in known.items()},
    )


def _edges(volumes: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = float(volumes.min()) * 0.999, float(volumes.max()) * 1.001
    return np.geomspace(low, max(high, low * 2), BINS + 1)


def _append(values: Columns, row: dict[str, Any]) -> None:
    for key, value in row.items():
        values[key].append(value)


def _rounded(value: float | None) -> float | None:
    """Three digits are as many as a table needs; larger numbers keep their whole part."""
    if value is None:
        return None
    return round(value) if abs(value) >= 1000 else float(f"{value:.4g}")


def _um(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
