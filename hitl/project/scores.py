"""The files with the scores of a project's evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hitl.project.errors import ProjectError
from hitl.project.records import read_record


def read_scores(file: Path) -> dict[str, Any]:
    """Return what an evaluation wrote: ``models``, each with a ``mean`` and its ``fields``.

    Raises
    ------
    ProjectError
        The file is damaged.
    """
    try:
        read = read_record(file)
        for model in read["models"].values():
            if not isinstance(model["mean"], dict):
                raise TypeError
            for field in model["fields"].values():
                if not all(isinstance(field[key], list) for key in ("objects", "cases")):
                    raise TypeError
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProjectError(
            f"{file}: expected the scores of an evaluation, got something else; delete the folder "
            "and run `hitl evaluate` again"
        ) from error
    return read
