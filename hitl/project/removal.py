"""Taking a field, a run or an evaluation out of a project, when that is asked for twice."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Sequence
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
    found = tuple(_find(project, store, name) for name in dict.fromkeys(names))
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


def _find(project: Project, store: AnnotationStore, name: str) -> Removed:
    fields = [info.name for info in store.fields()]
    if name in fields:
        return Removed("field", name, ())
    runs = [folder.name for folder in project.run_folders()]
    if name in runs:
        if name == model_in_use(project):
            raise ProjectError(f"run {name} is in use; promote another one, then remove it")
        folders = (project.runs_folder / name, project.folder / "predictions" / name)
        return Removed("run", name, tuple(folder for folder in folders if folder.is_dir()))
    evaluations = [file.parent.name for file in project.evaluation_files()]
    if name in evaluations:
        return Removed("evaluation", name, (project.folder / "evaluations" / name,))
    listed = "; ".join(
        f"{what} {', '.join(there) or 'none'}"
        for what, there in (("fields", fields), ("runs", runs), ("evaluations", evaluations))
    )
    raise ProjectError(f"{name!r}: expected a field, a run or an evaluation, got none of {listed}")


def _delete(folder: Path) -> None:
    """Delete a folder: all of it is gone by its name, or none."""
    if folder.is_symlink():
        folder.unlink()
        return
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.gone")
    folder.rename(aside)
    shutil.rmtree(aside)
