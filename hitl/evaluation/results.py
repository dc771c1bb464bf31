"""What a project keeps of its evaluations: whose scores, which errors, and whether they hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.errors import UnknownFieldError
from annotations.formats import open_labels
from annotations.names import split_address, split_view_name
from annotations.store import AnnotationStore
from annotations.views import LabelsView
from hitl.prediction.predict import prediction_file, read_prediction
from hitl.project.errors import NothingToDoError, ProjectError
from hitl.project.folder import Project
from hitl.project.ranking import Evaluation, quality, read_evaluations
from hitl.project.runs import model_in_use
from labels.overlaps import Contingency, count_overlaps

ERROR_KINDS = ("merged", "split", "missed", "spurious", "shifted")
"""The kinds of cases in which a model is wrong; see `hitl.evaluation.metrics.taxonomy`."""


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
    fields : mapping of str to mapping
        By `LabelsView.name`, as `hitl.evaluation.metrics.scores.Scores.to_dict` has them, with
        ``objects`` and ``cases``.
    """

    number: str
    made: str
    split: str
    round: int | None
    model: str
    fields: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(
        cls, evaluation: Evaluation, model: str, addresses: Collection[str] | None = None
    ) -> EvaluatedModel:
        """Take a model's scores out of an evaluation; only those of some addresses when given."""
        by_field = evaluation["models"][model]["fields"]
        return cls(
            evaluation["number"],
            evaluation.get("made", ""),
            evaluation["split"],
            evaluation["round"],
            model,
            {
                name: scores
                for name, scores in by_field.items()
                if addresses is None or split_view_name(name)[0] in addresses
            },
        )


@dataclass(frozen=True)
class Nucleus:
    """A true object, as it was scored; see `hitl.evaluation.metrics.scores.ObjectScore`."""

    id: int
    kind: str
    score: float
    iou: float
    best_id: int
    volume_voxels: int
    at_border: bool

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Nucleus:
        """Take what is needed from a row of an evaluation."""
        return cls(
            int(row["id"]),
            str(row["kind"]),
            float(row["score"]),
            float(row["iou"]),
            int(row["best_id"]),
            int(row["volume_voxels"]),
            bool(row["at_border"]),
        )


@dataclass(frozen=True)
class ScoredCase:
    """Nuclei and predicted objects that belong together, and what became of them.

    Parameters
    ----------
    field : str
        `LabelsView.name` of what was scored.
    kind : str
        One of `ERROR_KINDS`, or "matched".
    truth_ids, pred_ids : tuple of int
    centroid_zyx : (float, float, float)
        In voxels.
    nuclei : tuple of Nucleus
        Those of `truth_ids` that count; none for a spurious object.
    """

    field: str
    kind: str
    truth_ids: tuple[int, ...]
    pred_ids: tuple[int, ...]
    centroid_zyx: tuple[float, float, float]
    nuclei: tuple[Nucleus, ...]

    @property
    def wrong(self) -> float:
        """1 - evaluation score, added up over the nuclei; 1 for a spurious object."""
        return round(sum(1 - n.score for n in self.nuclei), 4) if self.nuclei else 1.0

    @property
    def iou(self) -> float | None:
        """The lowest of the nuclei with what overlaps them best; None for a spurious object."""
        return min((n.iou for n in self.nuclei), default=None)

    @property
    def score(self) -> float | None:
        """The lowest evaluation score of the nuclei; None for a spurious object."""
        return min((n.score for n in self.nuclei), default=None)

    @property
    def volume_voxels(self) -> int:
        """Of the nuclei together."""
        return sum(n.volume_voxels for n in self.nuclei)


@dataclass(frozen=True, eq=False)
class ScoredLabels:
    """Truth and prediction as they were scored.

    Parameters
    ----------
    truth, predicted : ndarray of uint32, shape (Z, Y, X)
    table : Contingency
        Of the two.
    """

    truth: NDArray[np.uint32]
    predicted: NDArray[np.uint32]
    table: Contingency


def best_model(evaluation: Evaluation, among: Collection[str] | None = None) -> str:
    """Return the best model of an evaluation, of all or of some; see `ranking.quality`."""
    models: dict[str, dict[str, Any]] = evaluation["models"]
    return max(models if among is None else among, key=lambda name: quality(models[name]))


def shown_model(
    project: Project, evaluation: Evaluation, among: Collection[str] | None = None
) -> str:
    """Return the model whose errors are shown: the one in use, else the best in score."""
    in_use = model_in_use(project)
    if in_use is not None and in_use in (evaluation["models"] if among is None else among):
        return in_use
    return best_model(evaluation, among)


def find_evaluated(
    project: Project,
    fields: Sequence[str],
    model: str | None,
    number: int | None,
    among: Collection[str] | None = None,
) -> EvaluatedModel:
    """Find the newest evaluation of some fields, and the model in it.

    Parameters
    ----------
    project : Project
    fields : sequence of str
        Addresses, or fields of several classes, of which one is enough: it must have scored all
        of these; any will do when empty.
    model : str, optional
        A run or a segmenter; when not given the one in use, else the best in score.
    number : int, optional
        Of the evaluation; the newest when not given.
    among : collection of str, optional
        Only these addresses count.

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
    covering = [(e, models) for e in found if (models := _covering(e, fields, among))]
    if not covering:
        raise NothingToDoError(_not_covered(project.store(), fields))
    newest, scored = covering[-1]
    named = [(e, models) for e, models in covering if model is None or model in models]
    if not named:
        of_fields = f" of {', '.join(fields)}" if fields else ""
        raise NothingToDoError(
            f"{model} is in no evaluation{of_fields} (the newest has "
            f"{', '.join(scored)}); run "
            f"`hitl evaluate PROJECT --split {newest['split']} --model {model}`"
        )
    chosen, models = named[-1]
    shown = model or shown_model(project, chosen, models)
    return EvaluatedModel.of(chosen, shown, models[shown])


def read_cases(found: EvaluatedModel, field: str) -> tuple[dict[int, Nucleus], list[ScoredCase]]:
    """Return the scored nuclei of a field by id, and what became of them and of what was predicted.

    Raises
    ------
    ProjectError
        The evaluation's file is damaged.
    """
    scores = found.fields[field]
    try:
        nuclei = {row["id"]: Nucleus.of(row) for row in scores["objects"]}
        cases = [_case(field, case, nuclei) for case in scores["cases"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ProjectError(
            f"evaluations/{found.number}/scores.json: expected the errors of {found.model} on "
            f"{field}, got something else ({error!r}); delete the folder and run "
            "`hitl evaluate` again"
        ) from error
    return nuclei, [case for case in cases if case.nuclei or case.kind == "spurious"]


def read_scored(project: Project, found: EvaluatedModel, field: str) -> ScoredLabels | None:
    """Return truth and prediction as they were scored, None where either is gone or has changed."""
    view = _scored_view(project, found, field)
    if view is None:
        return None
    file = prediction_file(project, _file_name(found.model), view.info)
    if not file.is_file():
        return None
    with open_labels(file) as source:
        if source.shape != view.whole.labels.shape:
            return None
    truth, predicted = np.asarray(view.labels[...], np.uint32), read_prediction(file, view)
    table = count_overlaps(truth, predicted)
    return ScoredLabels(truth, predicted, table) if _as_scored(table, found.fields[field]) else None


def _scored_view(project: Project, found: EvaluatedModel, name: str) -> LabelsView | None:
    """Return the labels that were the truth, None where they are gone."""
    address, time = split_view_name(name)
    try:
        view = project.store().labels(address, round=found.round)
    except UnknownFieldError:
        return None
    if (time or 0) >= view.info.times:
        return None
    scored = view.at(time or 0)
    return scored if scored.name == name else None


def _case(field: str, case: Mapping[str, Any], nuclei: Mapping[int, Nucleus]) -> ScoredCase:
    kind = str(case["kind"])
    if kind not in (*ERROR_KINDS, "matched"):
        raise ValueError(f"kind {kind}")
    truth_ids, pred_ids = (tuple(map(int, case[key])) for key in ("truth_ids", "pred_ids"))
    z, y, x = map(float, case["centroid_zyx"])
    known = tuple(nuclei[i] for i in truth_ids if i in nuclei)
    return ScoredCase(field, kind, truth_ids, pred_ids, (z, y, x), known)


def _as_scored(table: Contingency, scores: Mapping[str, Any]) -> bool:
    """Tell whether every scored object has the size and the best IoU that it had."""
    rows = scores.get("objects", ())
    ids = np.asarray([row["id"] for row in rows], np.int64)
    if not np.isin(ids, table.truth.ids).all():
        return False
    at = np.searchsorted(table.truth.ids, ids)
    pairs = table.best_pair[at]
    iou = np.where(pairs >= 0, table.iou[pairs] if len(table.iou) else 0.0, 0.0)
    then = np.asarray([row["iou"] for row in rows], np.float64)
    sizes = np.asarray([row["volume_voxels"] for row in rows], np.int64)
    if not (np.allclose(iou, then, atol=1e-6) and np.array_equal(table.truth.sizes[at], sizes)):
        return False
    listed = {i for case in scores.get("cases", ()) for i in case["pred_ids"]}
    return listed <= set(table.pred.ids.tolist())


def _covering(
    evaluation: Evaluation, fields: Sequence[str], among: Collection[str] | None
) -> dict[str, set[str]]:
    """Return the addresses in question that models were scored on, by model; all must be there."""
    found: dict[str, set[str]] = {}
    for model, scores in evaluation["models"].items():
        scored = {split_view_name(name)[0] for name in scores["fields"]}
        inside = {a for a in scored if among is None or a in among}
        own = {f: {a for a in inside if a == f or a.startswith(f"{f}:")} for f in fields}
        if inside and all(own.values()):
            found[model] = set().union(*own.values()) if fields else inside
    return found


def _not_covered(store: AnnotationStore, fields: Sequence[str]) -> str:
    """Say which command would score some fields; an unknown one is the store's to complain of."""
    splits = dict.fromkeys(store.field(split_address(name)[0]).info.split for name in fields)
    commands = " and ".join(f"`hitl evaluate PROJECT --split {split}`" for split in splits)
    what = ", ".join(fields) or "these classes"
    return (
        f"no evaluation has scored {what}; run {commands or '`hitl evaluate PROJECT`'}, which "
        "scores every field that people have labelled everywhere"
    )


def _file_name(name: str) -> str:
    """Refuse a name out of a file that would lead out of its folder."""
    if Path(name).name != name:
        raise ProjectError(
            f"expected the name of a model or a field in an evaluation, got {name!r}; delete the "
            "evaluation's folder and run `hitl evaluate` again"
        )
    return name
