"""Which run belongs to which cell; kept in the runs' own folders, so that any sweep finds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hitl.project.errors import ProjectError
from hitl.project.folder import Project
from hitl.project.records import Number, Shape, read_record, write_record

CELL_FILE = "cell.json"


class _Cell(Shape):
    """What is read of a cell."""

    fingerprint: str
    reason: str
    seconds: Number
    scores: dict[str, Number | None]


Values = Mapping[str, float | None]
State = Literal["done", "failed", "interrupted"]


@dataclass(frozen=True)
class CellRun:
    """A run that was begun for a cell.

    Parameters
    ----------
    folder : Path
    state : {"done", "failed", "interrupted"}
    reason : str
        Why it failed.
    seconds : float
        Time that was spent on training; what a killed process spent is not known.
    scores : mapping of str to (float or None)
        What was measured on the validation part; empty before.
    """

    folder: Path
    state: State
    reason: str
    seconds: float
    scores: Values

    def fail(self, reason: str) -> CellRun:
        """Record that the training failed."""
        return self._write(reason=reason)

    def spend(self, seconds: float) -> CellRun:
        """Record that so much more time was spent."""
        return self._write(seconds=round(self.seconds + seconds, 3))

    def keep(self, scores: Values) -> CellRun:
        """Record what was measured."""
        return self._write(scores=scores)

    def _write(self, **changes: Any) -> CellRun:
        content = {**_read(self.folder / CELL_FILE), **changes}
        write_record(self.folder / CELL_FILE, content)
        return _run(self.folder, content)


def find_cells(project: Project) -> dict[str, CellRun]:
    """Return the project's runs that were begun for a cell, by the cell's fingerprint."""
    found: dict[str, CellRun] = {}
    for folder in project.run_folders():
        path = folder / CELL_FILE
        if path.exists() or path.is_symlink():
            content = _read(path)
            found[content["fingerprint"]] = _run(folder, content)
    return found


def begin_cell(project: Project, model: str, fingerprint: str) -> CellRun:
    """Make the folder of a cell's run."""
    folder = project.new_run(model)
    content = {"fingerprint": fingerprint, "reason": "", "seconds": 0.0, "scores": {}}
    write_record(folder / CELL_FILE, content)
    return _run(folder, content)


def _run(folder: Path, content: dict[str, Any]) -> CellRun:
    state: State = "interrupted"
    if content["reason"]:
        state = "failed"
    elif (folder / "card.json").is_file():
        state = "done"
    return CellRun(folder, state, content["reason"], content["seconds"], content["scores"])


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_record(path, _Cell)
    except (OSError, ValueError) as error:
        raise ProjectError(
            f"{path}: expected what a sweep keeps of a run, got something else ({error}); move "
            "the run's folder away"
        ) from error
