"""A project's runs: their cards, which one is in use, and every promotion before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hitl.project.errors import NothingToDoError, ProjectError
from hitl.project.folder import CARD, Project
from hitl.project.records import read_record

_CARD_KEYS = {
    "run", "model", "made", "round", "validation", "classes", "channels", "trained_on",
    "weights_sha256",
}  # fmt: skip

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
        card = read_record(file)
    except (OSError, ValueError):
        card = {}
    if not card.keys() >= _CARD_KEYS:
        raise ProjectError(
            f"{file}: expected the card of a run, got something else; restore it from a copy, or "
            "move the run's folder away"
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
    if not file.is_file():
        return {"run": None, "history": []}
    try:
        found = read_record(file)
    except ValueError:
        found = {}
    if not ("run" in found and isinstance(found.get("history"), list)):
        raise ProjectError(
            f"{file}: expected the record of promotions, got something else; restore it from a "
            "copy, or delete it and promote a run again"
        )
    return found


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
