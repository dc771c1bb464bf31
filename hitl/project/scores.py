"""The files with the scores of a project's evaluations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Interval, Le, MinLen
from pydantic import AfterValidator, Field

from hitl.project.errors import ProjectError
from hitl.project.records import Number, Shape, Whole, read_record

Share = Annotated[float, Interval(ge=0, le=1)]
Point = tuple[Number, Number, Number]

_BY_THRESHOLD = re.compile(r"thresholds\.[01](\.[0-9]{1,4})?\..+")


def _known_thresholds(means: dict[str, float | None]) -> dict[str, float | None]:
    for key in means:
        if key.startswith("thresholds.") and _BY_THRESHOLD.fullmatch(key) is None:
            raise ValueError(f"{key[:80]!r} names no threshold")
    return means


Means = Annotated[dict[str, Number | None], AfterValidator(_known_thresholds)]
"""By metric, as `hitl.evaluation.metrics.scores.Scores.flat` has them."""


class _Object(Shape):
    id: Whole
    kind: str
    score: Share
    iou: Share
    best_id: Whole
    volume_voxels: Whole
    at_border: bool
    volume_um3: Number | None
    centroid_um: Point | None


class _Case(Shape):
    kind: str
    truth_ids: list[Whole]
    pred_ids: list[Whole]
    centroid_zyx: Point
    centroid_um: Point | None


class _Field(Shape):
    objects: list[_Object]
    cases: list[_Case]
    errors: dict[str, Whole]


class _Span(Shape):
    low: Number | None
    high: Number | None


class _Model(Shape):
    mean: Means
    fields: Annotated[dict[str, _Field], MinLen(1)]
    intervals: dict[str, _Span] = Field(default_factory=dict)
    classes: dict[str, Means] = Field(default_factory=dict)


class _Difference(Shape):
    difference: Number | None = None
    low: Number | None = None
    high: Number | None = None
    p: Number | None = None


class _Pair(Shape):
    first: str
    second: str
    metrics: dict[str, _Difference]


class _Evaluation(Shape):
    """What is read of an evaluation."""

    split: str
    round: Annotated[int, Ge(-1), Le(2**63 - 1)] | None
    models: Annotated[dict[str, _Model], MinLen(1)]
    made: str = ""
    comparisons: list[_Pair] = Field(default_factory=list)


def read_scores(file: Path) -> dict[str, Any]:
    """Return what an evaluation wrote: ``models``, each with a ``mean`` and its ``fields``.

    Raises
    ------
    ProjectError
        The file is damaged.
    """
    try:
        return read_record(file, _Evaluation)
    except (OSError, ValueError) as error:
        raise ProjectError(
            f"{file}: expected the scores of an evaluation, got something else ({error}); delete "
            "the folder and run `hitl evaluate` again"
        ) from error
