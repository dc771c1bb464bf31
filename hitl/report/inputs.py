"""What the report is made of: everything that a project's files and store say of its work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from annotations.fields import FieldInfo, LabelsInfo, labels_of
from annotations.names import DEFAULT_CLASS, split_address, split_view_name
from annotations.rounds import LogEntry
from hitl.evaluation.ceiling import ceiling, read_agreements
from hitl.evaluation.results import shown_model
from hitl.project.folder import Project
from hitl.project.ranking import Evaluation, Scored, newest, ranking, read_evaluations
from hitl.project.runs import promotions, read_card
from hitl.project.status import Overview, status
from models.curves import CURVES_FILE, read_curves

Curves = list[dict[str, float]]


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
        Models of all evaluations, the best first.
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
    def best(self) -> Scored | None:
        """The model with the highest evaluation score of all evaluations that compare."""
        return self.scored[0] if self.scored else None


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
    agreements = read_agreements(project)
    return Inputs(
        project=project,
        overview=status(project, store),
        fields=tuple(store.fields()),
        rounds=tuple(store.rounds()),
        cards=tuple(read_card(folder) for folder in folders),
        curves={f.name: read_curves(f) for f in folders if (f / CURVES_FILE).is_file()},
        evaluation=newest(evaluations),
        scored=ranking(evaluations),
        agreements=tuple(agreements),
        ceiling=ceiling(agreements),
        promotions=tuple(promotions(project)),
    )
