"""All models that were ever evaluated in a project, in one ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hitl.project.folder import Project
from hitl.project.scores import read_scores

Evaluation = dict[str, Any]
"""What `hitl evaluate` wrote, and its ``number``, such as "0002"."""


@dataclass(frozen=True)
class Scored:
    """One model's scores, from the newest evaluation that has it.

    Parameters
    ----------
    model : str
    evaluation : str
        Number of the evaluation, such as "0002".
    made : str
    found : dict
        `hitl.evaluation.evaluate.ModelScores` as JSON has it.
    comparable : bool
        Scored on the same objects, with the same options, as those of the newest evaluation.
    """

    model: str
    evaluation: str
    made: str
    found: dict[str, Any]
    comparable: bool

    @property
    def score(self) -> float | None:
        """The evaluation score, which no spurious object lowers."""
        value: float | None = self.found["mean"].get("evaluation_score")
        return value

    @property
    def f1(self) -> float | None:
        """F1 at IoU 0.5."""
        value: float | None = self.found["mean"].get("f1")
        return value


def read_evaluations(project: Project) -> list[Evaluation]:
    """Return the project's evaluations, oldest first.

    Raises
    ------
    ProjectError
        A damaged file.
    """
    return [
        {**read_scores(file), "number": file.parent.name} for file in project.evaluation_files()
    ]


def newest(evaluations: Sequence[Evaluation]) -> Evaluation | None:
    """Return the newest evaluation, of test fields where there is one: what was tuned on flatters.

    None before any.
    """
    tested = [found for found in evaluations if found["split"] == "test"]
    found = tested or evaluations
    return found[-1] if found else None


def ranking(evaluations: Sequence[Evaluation]) -> tuple[Scored, ...]:
    """Return every model that was scored on the split of the newest evaluation.

    Returns
    -------
    tuple of Scored
        Those that compare with the newest evaluation's first; among each the highest evaluation
        score first, and the highest F1 where it is the same.
    """
    last = newest(evaluations)
    if last is None:
        return ()
    scored_on = _objects(next(iter(last["models"].values())))
    found: dict[str, Scored] = {}
    for evaluation in (last, *(e for e in reversed(evaluations) if e is not last)):
        if evaluation["split"] != last["split"]:
            continue
        same = evaluation.get("options") == last.get("options")
        for model, scores in evaluation["models"].items():
            if model not in found:
                comparable = same and _objects(scores) == scored_on
                number, made = evaluation["number"], evaluation.get("made", "")
                found[model] = Scored(model, number, made, scores, comparable)
    order = sorted(found.values(), key=lambda s: (s.comparable, *quality(s.found)))
    return tuple(reversed(order))


def quality(found: dict[str, Any]) -> tuple[float, float]:
    """Return what models are ranked by: the evaluation score, and F1 where it is the same."""
    mean = found["mean"]
    return mean.get("evaluation_score") or 0.0, mean.get("f1") or 0.0


def _objects(scores: dict[str, Any]) -> dict[str, list[int]]:
    """Return the truth's objects by field: what a model was scored on."""
    return {
        field: [row["id"] for row in found.get("objects", ())]
        for field, found in scores["fields"].items()
    }
