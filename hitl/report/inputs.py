"""What the report is made of: everything that a project's files and store say of its work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from annotations.fields import FieldInfo, LabelsInfo, labels_of
from annotations.names import DEFAULT_CLASS, split_address, split_view_name
from annotations.rounds import LogEntry
from hitl.evaluation.ceiling import ceiling, read_agreements
from hitl.evaluation.results import Evaluation, best_model, read_evaluations, shown_model
from hitl.project.folder import Project
from hitl.project.runs import promotions, read_card
from hitl.project.status import Overview, status
from models.curves import CURVES_FILE, read_curves

Curves = list[dict[str, float]]


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


@dataclass(frozen=True)
class Inputs:
    """A project as the report sees it.

    Parameters
    ----------
    project : Project
    overview : Overview
    fields : tuple of FieldInfo
    rounds : tuple of LogEntry
        Oldest first.
    cards : tuple of dict
        Model cards of the finished runs, oldest first.
    curves : dict of str to list
        Rows of `models.curves.read_curves` by run, where the run kept any.
    evaluation : dict or None
        The newest evaluation that the report is about, with its ``number``; None before any.
    scored : tuple of Scored
        Models of all evaluations, those of the newest first.
    agreements : tuple of dict
        Oldest first.
    ceiling : dict
        As `hitl.evaluation.ceiling.ceiling` gives it, of all agreements.
    promotions : tuple of dict
        Oldest first.
    """

    project: Project
    overview: Overview
    fields: tuple[FieldInfo, ...]
    rounds: tuple[LogEntry, ...]
    cards: tuple[dict[str, Any], ...]
    curves: dict[str, Curves]
    evaluation: Evaluation | None
    scored: tuple[Scored, ...]
    agreements: tuple[dict[str, Any], ...]
    ceiling: dict[str, dict[str, Any]]
    promotions: tuple[dict[str, Any], ...]

    @property
    def labels(self) -> dict[str, LabelsInfo]:
        """What is known of all labels, by address."""
        return {info.address: info for field in self.fields for info in labels_of(field)}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that any field has."""
        return tuple(sorted({each.name for field in self.fields for each in field.classes}))

    @property
    def things(self) -> str:
        """What the objects are called: nuclei where there is nothing else."""
        return "nuclei" if set(self.classes) <= {DEFAULT_CLASS} else "objects"

    def place_of(self, name: str) -> tuple[str, str, int | None]:
        """Return field, class and time point of what was scored under a `LabelsView.name`."""
        address, time = split_view_name(name)
        info = self.labels.get(address)
        if info is not None:
            return info.field.name, info.class_name, time
        field, class_name = split_address(address)
        return field, class_name or "", time

    @property
    def shown_model(self) -> str | None:
        """The model whose errors are shown: the one in use, else the best in score."""
        return None if self.evaluation is None else shown_model(self.project, self.evaluation)

    @property
    def best_model(self) -> str | None:
        """The model with the highest evaluation score in the newest evaluation."""
        return None if self.evaluation is None else best_model(self.evaluation)


def read_inputs(project: Project) -> Inputs:
    """Read everything that a report needs, except for voxels.

    Raises
    ------
    ProjectError
        A damaged file, named.
    StoreError, CheckpointError
    """
    store = project.store()
    folders = project.finished_runs()
    evaluations = read_evaluations(project)
    newest = _newest(evaluations)
    agreements = read_agreements(project)
    return Inputs(
        project=project,
        overview=status(project, store),
        fields=tuple(store.fields()),
        rounds=tuple(store.rounds()),
        cards=tuple(read_card(folder) for folder in folders),
        curves={f.name: read_curves(f) for f in folders if (f / CURVES_FILE).is_file()},
        evaluation=newest,
        scored=_scored(evaluations, newest),
        agreements=tuple(agreements),
        ceiling=ceiling(agreements),
        promotions=tuple(promotions(project)),
    )


def _newest(evaluations: list[Evaluation]) -> Evaluation | None:
    """Prefer test fields: what was tuned on flatters."""
    tested = [found for found in evaluations if found["split"] == "test"]
    found = tested or evaluations
    return found[-1] if found else None


def _scored(evaluations: list[Evaluation], newest: Evaluation | None) -> tuple[Scored, ...]:
    if newest is None:
        return ()
    ordered = [newest, *(e for e in reversed(evaluations) if e is not newest)]
    scored_on = _objects(next(iter(newest["models"].values())))
    found: dict[str, Scored] = {}
    for evaluation in ordered:
        if evaluation["split"] != newest["split"]:
            continue
        same = evaluation.get("options") == newest.get("options")
        for model, scores in evaluation["models"].items():
            if model not in found:
                comparable = same and _objects(scores) == scored_on
                number, made = evaluation["number"], evaluation.get("made", "")
                found[model] = Scored(model, number, made, scores, comparable)
    return tuple(found.values())


def _objects(scores: dict[str, Any]) -> dict[str, list[int]]:
    """Return the truth's objects by field: what a model was scored on."""
    return {
        field: [row["id"] for row in found.get("objects", ())]
        for field, found in scores["fields"].items()
    }
