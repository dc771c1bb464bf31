"""What the correction window is told of a model's errors on its field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hitl.evaluation.results import find_evaluated, read_scored
from hitl.project.folder import Project
from hitl.queue.model_errors import ErrorEntry, in_order, of_view


@dataclass(frozen=True)
class FieldErrors:
    """The errors of one model on one field.

    Parameters
    ----------
    model : str
    evaluation : str
        Its number.
    entries : tuple of ErrorEntry
        The most wrong first.
    read_only : bool
        The field is of split test: nobody corrects hand-made labels towards a model.
    read_predicted : callable
        Reads what was scored, of uint32 and shape (Z, Y, X); None where it, or the labels, are no
        longer the same. Not read before it is asked for: it is as large as the field.
    """

    model: str
    evaluation: str
    entries: tuple[ErrorEntry, ...]
    read_only: bool
    read_predicted: Callable[[], NDArray[np.uint32] | None] = field(repr=False)


def field_errors(
    project: Project, field: str, model: str | None = None, time: int | None = None
) -> FieldErrors:
    """Return what a model got wrong on a field, from the newest evaluation that scored it.

    Parameters
    ----------
    project : Project
    field : str
        Address of the labels.
    model : str, optional
        When not given the one in use, else the best in score.
    time : int, optional
        Of a series.

    Raises
    ------
    NothingToDoError
        No evaluation has scored the field, or not with that model.
    ProjectError
        A damaged file.
    UnknownFieldError
    """
    view = project.store().labels(field).at(time or 0)
    info = view.info
    found = find_evaluated(project, (info.address,), model, None)
    entries = in_order(of_view(view, found))

    def read_predicted() -> NDArray[np.uint32] | None:
        scored = read_scored(project, found, view.name)
        return None if scored is None else scored.predicted

    return FieldErrors(found.model, found.number, entries, info.split == "test", read_predicted)
