"""The nuclei of a project and of an evaluation, as tables of columns for the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.objects import NO_ROUND, Status
from annotations.views import LabelsView
from hitl.project.folder import Project
from hitl.report.inputs import Inputs
from labels.overlaps import count_overlaps

MAX_ROWS = 200_000
"""Rows that a page holds, over all of its tables; further tables are left to the JSON of scores."""

BINS = 24

Column = tuple[str, str, str]
"""Key, heading (with unit), kind: "text" or "number"."""


@dataclass(frozen=True)
class Table:
    """Rows as columns.

    Parameters
    ----------
    name : str
        What the rows are.
    columns : tuple of (str, str, str)
    values : dict of str to list
        By key, all of one length.
    """

    name: str
    columns: tuple[Column, ...]
    values: dict[str, list[Any]]

    def __len__(self) -> int:
        return len(self.values[self.columns[0][0]])

    @classmethod
    def of(cls, name: str, columns: tuple[Column, ...], rows: Iterable[Sequence[Any]]) -> Table:
        """Make a table of rows whose cells are in the order of the columns."""
        cells = list(zip(*rows, strict=True)) or [()] * len(columns)
        keys = (key for key, _, _ in columns)
        return cls(name, columns, {key: list(v) for key, v in zip(keys, cells, strict=True)})


SCORED_COLUMNS = (
    ("field", "field", "text"),
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
    ("field", "field", "text"),
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
        table = _scored_table(model, found[model]["fields"])
        if tables and sum(map(len, tables)) + len(table) > MAX_ROWS:
            left_out.append(model)
        else:
            tables.append(table)
    return tables, left_out


def _scored_table(model: str, fields: dict[str, Any]) -> Table:
    rows = [
        row
        for field, scores in fields.items()
        for row in (
            *(_scored_row(field, row) for row in scores.get("objects", ())),
            *(_spurious_row(field, c) for c in scores.get("cases", ()) if c["kind"] == "spurious"),
        )
    ]
    return Table.of(f"scored: {model}", SCORED_COLUMNS, rows)


def _scored_row(field: str, row: dict[str, Any]) -> tuple[Any, ...]:
    return (
        field,
        row["id"],
        row["kind"],
        round(row["score"], 3),
        round(row["iou"], 3),
        _rounded(row["volume_um3"]),
        row["best_id"] or None,
        *_place(row),
        "yes" if row["at_border"] else "no",
    )


def _spurious_row(field: str, case: dict[str, Any]) -> tuple[Any, ...]:
    return (field, None, "spurious", None, None, None, case["pred_ids"][0], *_place(case), None)


def _place(found: dict[str, Any]) -> list[float | None]:
    """Return z, y and x in µm, None without a voxel size."""
    return [um if um is None else round(um, 2) for um in found["centroid_um"] or [None] * 3]


def label_table(project: Project) -> Table:
    """Return every object of the store's last commit, measured."""
    store = project.store()
    rows = [row for info in store.all_labels() for row in _label_rows(store.labels(info.address))]
    return Table.of("labels of the project", LABEL_COLUMNS, rows)


def _label_rows(view: LabelsView) -> Iterator[tuple[Any, ...]]:
    objects = view.objects
    if not len(objects.id):
        return
    found = count_overlaps(view.labels, view.labels)
    spacing = np.asarray(view.info.spacing_um)
    known = np.isin(objects.id, found.truth.ids)
    at = np.searchsorted(found.truth.ids, objects.id)
    for n in np.flatnonzero(known).tolist():
        confidence, number = float(objects.confidence[n]), int(objects.round[n])
        yield (
            view.info.address,
            int(objects.id[n]),
            Status(int(objects.status[n])).name.lower(),
            objects.origins[int(objects.origin[n])],
            None if np.isnan(confidence) else round(confidence, 3),
            None if number == NO_ROUND else number,
            _rounded(float(found.truth.sizes[at[n]] * spacing.prod())),
            *(round(um, 2) for um in (found.truth.centroids[at[n]] * spacing).tolist()),
        )


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


def _rounded(value: float | None) -> float | None:
    """Three digits are as many as a table needs; larger numbers keep their whole part."""
    if value is None:
        return None
    return round(value) if abs(value) >= 1000 else float(f"{value:.4g}")
