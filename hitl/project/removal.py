"""Taking a field, a run or an evaluation out of a project, when that is asked for twice."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from annotations.store import AnnotationStore
from hitl.project.errors import NothingToDoError, ProjectError
from hitl.project.folder import Project
from hitl.project.runs import model_in_use

Kind = Literal["field", "run", "evaluation"]


@dataclass(frozen=True)
class Removed:
    """One thing that was taken out, or would be.

    Parameters
    ----------
    kind : {"field", "run", "evaluation"}
    name : str
    folders : tuple of Path
        What is deleted for good; empty for a field, which earlier rounds keep.
    """

    kind: Kind
    name: str
    folders: tuple[Path, ...]


def remove(project: Project, names: Sequence[str], *, yes: bool) -> tuple[Removed, ...]:
    """Take fields, runs and evaluations out of a project.

    Parameters
    ----------
    project : Project
    names : sequence of str
        A field's, a run's id, or the number of an evaluation's folder.
    yes : bool
        Whether the person means it; otherwise it is only told.

    Raises
    ------
    NothingToDoError
        Not meant; the message says what would be removed.
    ProjectError
        A name of nothing, or the run that is in use.
    """
    store = project.store(read_only=not yes)
    there = _there(project, store)
    found = tuple(_find(project, there, name) for name in dict.fromkeys(names))
    if not yes:
        raise NothingToDoError(
            f"would remove {', '.join(map(described, found))}; nothing was removed: say --yes if "
            "you mean it"
        )
    for each in found:
        if each.kind == "field":
            store.remove_field(each.name)
        for folder in each.folders:
            _delete(folder)
    return found


def described(removed: Removed) -> str:
    """Return what is removed, for people."""
    after = "earlier rounds keep it" if removed.kind == "field" else "for good"
    return f"{removed.kind} {removed.name} ({after})"


def _there(project: Project, store: AnnotationStore) -> dict[Kind, list[str]]:
    """Return the names of all that can be removed."""
    return {
        "field": [info.name for info in store.fields()],
        "run": [folder.name for folder in project.run_folders()],
        "evaluation": [file.parent.name for file in project.evaluation_files()],
    }


def _find(project: Project, there: Mapping[Kind, Sequence[str]], name: str) -> Removed:
    kind = next((kind for kind, names in there.items() if name in names), None)
    if kind is None:
        listed = "; ".join(f"{kind}s {', '.join(names) or 'none'}" for kind, names in there.items())
        raise ProjectError(
            f"{name!r}: expected a field, a run or an evaluation, got none of {listed}"
        )
    if kind == "run" and name == model_in_use(project):
        raise ProjectError(f"run {name} is in use; promote another one, then remove it")
    places = {
        "field": (),
        "run": (project.runs_folder / name, project.folder / "predictions" / name),
        "evaluation": (project.folder / "evaluations" / name,),
    }
    return Removed(kind, name, tuple(folder for folder in places[kind] if folder.is_dir()))


def _delete(folder: Path) -> None:
    """Delete a folder: all of it is gone by its name, or none."""
    if folder.is_symlink():
        folder.unlink()
        return
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.gone")
    folder.rename(aside)
    shutil.rmtree(aside)
