"""A project's runs: their cards, which one is in use, and every promotion before it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import Field

from hitl.project.errors import NothingToDoError, ProjectError
from hitl.project.folder import Project
from hitl.project.layout import CARD
from hitl.project.records import Number, Shape, Whole, read_record


class _Source(Shape):
    field: str
    split: str
    source_sha256: str | None
    objects: Whole = 0
    verified_share: Number = 0.0


class _Config(Shape):
    validation_share: Annotated[float, Gt(0), Lt(1)]
    held_out: str = ""


class _Card(Shape):
    """What is read of a model card."""

    run: str
    model: str
    made: str
    round: Annotated[int, Ge(-1), Le(2**63 - 1)]
    validation: dict[str, Number]
    classes: Annotated[list[str], MinLen(1)]
    channels: Whole
    trained_on: list[_Source]
    weights_sha256: str
    weights: str = ""
    base: str = ""
    licence: str = ""
    epochs: Whole | None = None
    best_epoch: Whole | None = None
    seconds: Number = 0.0
    notes: list[str] = Field(default_factory=list)
    config: _Config
    versions: dict[str, str | None] = Field(default_factory=dict)


class _Promotion(Shape):
    run: str
    when: str
    by: str
    replaced: str | None
    forced: bool
    why: str
    fields: list[str]
    objections: list[str]


class _InUse(Shape):
    run: str | None
    history: list[_Promotion]


IN_USE = "in_use.json"
"""In the project's folder."""


def read_card(folder: Path) -> dict[str, Any]:
    """Return the model card of a finished run.

    Raises
    ------
    ProjectError
        The file is damaged.
    """
    file = folder / CARD
    try:
        card = read_record(file, _Card)
    except (OSError, ValueError) as error:
        raise ProjectError(
            f"{file}: expected the card of a run, got something else ({error}); restore it from a "
            "copy, or move the run's folder away"
        ) from error
    if card["run"] != folder.name:
        raise ProjectError(
            f"{file}: expected the card of run {folder.name}, got that of {card['run']!r}; give "
            "the folder back its name, or move it away"
        )
    return card


def read_in_use(project: Project) -> dict[str, Any]:
    """Return the record of promotions: ``run``, None before any, and ``history``.

    Raises
    ------
    ProjectError
        The file is damaged.
    """
    file = project.folder / IN_USE
    if not (file.exists() or file.is_symlink()):
        return {"run": None, "history": []}
    try:
        return read_record(file, _InUse)
    except (OSError, ValueError) as error:
        raise ProjectError(
            f"{file}: expected the record of promotions, got something else ({error}); restore it "
            "from a copy, or delete it and promote a run again"
        ) from error


def model_in_use(project: Project) -> str | None:
    """Return the promoted run's id, None before any promotion.

    Raises
    ------
    ProjectError
        The file that says so is damaged.
    """
    run = read_in_use(project)["run"]
    return None if run is None else str(run)


def named_or_in_use(project: Project, model: str | None) -> str:
    """Return the model that was named, else the promoted run.

    Raises
    ------
    NothingToDoError
        None was named and none is promoted.
    """
    name = model or model_in_use(project)
    if name is None:
        raise NothingToDoError(
            "no run is promoted yet, so there is no model in use; name one with --model RUN, or "
            "promote one with `hitl promote PROJECT RUN`"
        )
    return name


def promotions(project: Project) -> list[dict[str, Any]]:
    """Return every promotion, oldest first: run, when, by, replaced, forced, why, strata, …."""
    return list(read_in_use(project)["history"])
