"""The evaluation whose errors are looked at: which one, whose, and whether it still holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.formats import read_labels
from annotations.store import AnnotationStore
from hitl.evaluation.metrics.contingency import count_overlaps
from hitl.evaluation.metrics.unchanged import as_scored
from hitl.project.errors import NothingToDoError, ProjectError
from hitl.project.folder import Project
from hitl.report.inputs import read_evaluations
from hitl.training.promote import model_in_use


@dataclass(frozen=True)
class EvaluatedModel:
    """One model's scores in one evaluation.

    Parameters
    ----------
    number : str
        Of the evaluation, such as "0002".
    made : str
    split : str
    round : int or None
        The round whose labels were the truth; None for those of the last commit then.
    model : str
    stacks : mapping of str to mapping
        As `hitl.evaluation.metrics.scores.Scores.to_dict` has them, with ``objects`` and ``cases``.
    """

    number: str
    made: str
    split: str
    round: int | None
    model: str
    stacks: Mapping[str, Mapping[str, Any]]


def find_evaluated(
    project: Project, stacks: Sequence[str], model: str | None, number: int | None
) -> EvaluatedModel:
    """Find the newest evaluation of some stacks, and the model in it.

    Parameters
    ----------
    project : Project
    stacks : sequence of str
        It must have scored all of these; any will do when empty.
    model : str, optional
        A run or a segmenter; when not given the one in use, else the best in score.
    number : int, optional
        Of the evaluation; the newest when not given.

    Raises
    ------
    NothingToDoError
        No such evaluation; the message says which command makes one.
    ProjectError
        A damaged file.
    """
    every = read_evaluations(project)
    if not every:
        raise NothingToDoError(
            "no model has been evaluated yet, so no error is known; run `hitl evaluate PROJECT`"
        )
    found = [e for e in every if number is None or int(e["number"]) == number]
    if not found:
        known = ", ".join(e["number"] for e in every)
        raise NothingToDoError(f"--evaluation {number}: there is none; there are: {known}")
    covering = [e for e in found if set(stacks) <= _stacks(e)]
    if not covering:
        raise NothingToDoError(_not_covered(project.store(), stacks))
    named = [e for e in covering if model is None or model in e["models"]]
    if not named:
        known = ", ".join(covering[-1]["models"])
        raise NothingToDoError(
            f"{model} is in no evaluation{_of(stacks)} (the newest has {known}); run "
            f"`hitl evaluate PROJECT --split {covering[-1]['split']} --model {model}`"
        )
    newest = named[-1]
    chosen = model or _shown_model(project, newest)
    by_stack = newest["models"][chosen]["stacks"]
    kept = {name: by_stack[name] for name in (stacks or by_stack)}
    return EvaluatedModel(
        newest["number"], newest["made"], newest["split"], newest["round"], chosen, kept
    )


def read_scored(
    project: Project, found: EvaluatedModel, stack: str
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]] | None:
    """Return truth and prediction as they were scored, each of shape (Z, Y, X).

    Returns
    -------
    tuple or None
        None where one of them is gone or has changed since.
    """
    store = project.store()
    file = project.folder / "predictions" / _file_name(found.model) / f"{_file_name(stack)}.tif"
    known = stack in {info.name for info in store.stacks(round=found.round)}
    if not known or not file.is_file():
        return None
    truth = np.asarray(store.stack(stack, round=found.round).labels[...], np.uint32)
    predicted = read_labels(file)
    if predicted.shape != truth.shape:
        return None
    if not as_scored(count_overlaps(truth, predicted), found.stacks[stack]):
        return None
    return truth, predicted


def _shown_model(project: Project, evaluation: Mapping[str, Any]) -> str:
    models: dict[str, dict[str, Any]] = evaluation["models"]
    in_use = model_in_use(project)
    if in_use in models:
        return in_use
    return max(models, key=lambda name: models[name]["mean"].get("evaluation_score") or 0.0)


def _stacks(evaluation: Mapping[str, Any]) -> set[str]:
    return {stack for scores in evaluation["models"].values() for stack in scores["stacks"]}


def _of(stacks: Sequence[str]) -> str:
    return f" of {', '.join(stacks)}" if stacks else ""


def _not_covered(store: AnnotationStore, stacks: Sequence[str]) -> str:
    """Say which command would score some stacks; an unknown one is the store's to complain of."""
    splits = dict.fromkeys(store.stack(name).info.split for name in stacks)
    commands = " and ".join(f"`hitl evaluate PROJECT --split {split}`" for split in splits)
    return (
        f"no evaluation has scored {', '.join(stacks)}; run {commands}, which scores every stack "
        "that people have labelled everywhere"
    )


def _file_name(name: str) -> str:
    """Refuse a name out of a file that would lead out of its folder."""
    if Path(name).name != name:
        raise ProjectError(
            f"expected the name of a model or a stack in an evaluation, got {name!r}; delete the "
            "evaluation's folder and run `hitl evaluate` again"
        )
    return name
