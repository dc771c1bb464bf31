"""What a project holds, what happened to it, and what comes next."""

from __future__ import annotations

from dataclasses import dataclass

from annotations.status import labels_status
from annotations.store import AnnotationStore
from hitl.project.folder import Project
from hitl.project.ranking import Scored, newest, ranking, read_evaluations
from hitl.project.runs import model_in_use, read_card
from models.registry import models_with


@dataclass(frozen=True)
class FieldState:
    """One field: size, objects by status, share of verified voxels."""

    name: str
    split: str
    shape_tczyx: tuple[int, ...]
    spacing_um: tuple[float, float, float]
    objects: dict[str, int]
    verified_share: float


@dataclass(frozen=True)
class RunState:
    """One finished run."""

    run: str
    made: str
    round: int
    validation: dict[str, float]


@dataclass(frozen=True)
class ModelScore:
    """How good a model is; `comparable` as in `hitl.project.ranking.Scored`."""

    model: str
    score: float | None
    f1: float | None
    evaluation: str
    comparable: bool

    @classmethod
    def of(cls, found: Scored) -> ModelScore:
        """Take the figures out of an evaluation."""
        return cls(found.model, found.score, found.f1, found.evaluation, found.comparable)


@dataclass(frozen=True)
class Overview:
    """What a project holds.

    Parameters
    ----------
    evaluation : str or None
        Number of the newest evaluation, of test fields where there is one.
    split : str or None
        What it scored on.
    scores : tuple of ModelScore
        Of all evaluations of that split, the best first.
    next : str
        A hint.
    """

    project: str
    last_round: int | None
    fields: tuple[FieldState, ...]
    runs: tuple[RunState, ...]
    unfinished_runs: tuple[str, ...]
    evaluation: str | None
    split: str | None
    scores: tuple[ModelScore, ...]
    in_use: str | None
    next: str


def status(project: Project, store: AnnotationStore) -> Overview:
    """Return what the project holds, as its store has it."""
    states = []
    for view in store.views():
        info, found = view.info, labels_status(view)
        about = (info.address, info.split, info.field.shape, info.spacing_um)
        states.append(FieldState(*about, found.objects, found.verified_share))
    cards = [read_card(folder) for folder in project.finished_runs()]
    runs = tuple(RunState(c["run"], c["made"], c["round"], c["validation"]) for c in cards)
    done = {run.run for run in runs}
    folders = project.run_folders()
    last = store.last_round()
    evaluations = read_evaluations(project)
    latest = newest(evaluations)
    scores = tuple(ModelScore.of(found) for found in ranking(evaluations))
    in_use = model_in_use(project)
    return Overview(
        str(project.folder),
        last if last >= 0 else None,
        tuple(states),
        runs,
        tuple(folder.name for folder in folders if folder.name not in done),
        None if latest is None else latest["number"],
        None if latest is None else latest["split"],
        scores,
        in_use,
        _next_step(str(project.folder), states, runs, scores, in_use),
    )


def _next_step(
    folder: str,
    states: list[FieldState],
    runs: tuple[RunState, ...],
    scores: tuple[ModelScore, ...],
    in_use: str | None,
) -> str:
    learnable = [state for state in states if state.split != "test"]
    tested = [state for state in states if state.split == "test" and any(state.objects.values())]
    if not learnable:
        return f"add a field to learn from: hitl add {folder} IMAGE"
    if not any(any(state.objects.values()) for state in learnable):
        return f"make the first labels: hitl bootstrap {folder}"
    if not runs:
        return (
            f"train a model: hitl train {folder} MODEL (one of {', '.join(models_with('trainer'))})"
        )
    if not tested:
        return (
            "add a field with hand-made labels to test on: "
            f"hitl add {folder} IMAGE --split test --labels FILE"
        )
    known = {run.run for run in runs}
    if not known <= {found.model for found in scores}:
        return f"score the models: hitl evaluate {folder}"
    if in_use is None:
        best = scores[0].model
        promote = (
            ""
            if best not in known
            else f"; or put the best run in use: hitl promote {folder} {best}"
        )
        return f"correct what matters most: hitl queue {folder}{promote}"
    return f"the next round: hitl propose {folder}, then hitl queue {folder}"
