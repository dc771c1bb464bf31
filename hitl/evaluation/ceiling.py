"""What a project keeps of agreement between people, and the ceiling that it sets for models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from hitl.evaluation.metrics.averages import mean_by_key
from hitl.project.errors import ProjectError
from hitl.project.folder import Project
from hitl.project.records import Number, Shape, Whole, read_record


class _Rater(Shape):
    name: str
    source: str
    objects: Whole


class _Agreement(Shape):
    """What is read of an agreement."""

    kind: Literal["annotators", "self"]
    field: str
    first: _Rater
    second: _Rater
    values: dict[str, Number | None]
    made: str


FOLDER = "agreement"
"""In the project's folder: one JSON file per pair of label images that were compared."""


def read_agreements(project: Project) -> list[dict[str, Any]]:
    """Return what the project keeps, oldest first, as JSON has `Agreement`, and ``made``.

    Raises
    ------
    ProjectError
        A file that is damaged.
    """
    found = []
    for file in sorted((project.folder / FOLDER).glob("[0-9]*.json")):
        try:
            found.append(read_record(file, _Agreement))
        except (OSError, ValueError) as error:
            raise ProjectError(
                f"{file}: expected an agreement, got something else ({error}); delete it and "
                "compare again"
            ) from error
    return found


def ceiling(agreements: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the mean agreement by kind: over the pairs of each field, then over fields.

    Parameters
    ----------
    agreements : iterable of mapping
        As `read_agreements` gives them.

    Returns
    -------
    dict of str to dict
        Per kind that there is ("annotators", "self"): ``mean`` by key, ``fields``, ``pairs``.
    """
    by_kind: dict[str, dict[str, list[Mapping[str, float | None]]]] = {}
    for found in agreements:
        fields = by_kind.setdefault(found["kind"], {})
        fields.setdefault(found["field"], []).append(found["values"])
    return {
        kind: {
            "mean": mean_by_key([mean_by_key(pairs) for pairs in fields.values()]),
            "fields": list(fields),
            "pairs": sum(map(len, fields.values())),
        }
        for kind, fields in by_kind.items()
    }
