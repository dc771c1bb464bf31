"""What the correction window is told of a model's errors on its stack."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hitl.project import Project
from hitl.queue.evaluated import find_evaluated, read_scored
from hitl.queue.mistakes import Mistake, in_order, of_stack


@dataclass(frozen=True)
class MistakeList:
    """The errors of one model on one stack.

    Parameters
    ----------
    model : str
    evaluation : str
        Its number.
    entries : tuple of Mistake
        The most wrong first.
    predicted : ndarray of uint32, shape (Z, Y, X), or None
        What was scored; None where it, or the labels, are no longer the same.
    read_only : bool
        The stack is of split test: nobody corrects hand-made labels towards a model.
    """

    model: str
    evaluation: str
    entries: tuple[Mistake, ...]
    predicted: NDArray[np.uint32] | None = field(repr=False)
    read_only: bool


def mistakes_on(project: Project, stack: str, model: str | None = None) -> MistakeList:
    """Return what a model got wrong on a stack, from the newest evaluation that scored it.

    Parameters
    ----------
    project : Project
    stack : str
    model : str, optional
        When not given the one in use, else the best in score.

    Raises
    ------
    NothingToDoError
        No evaluation has scored the stack, or not with that model.
    ProjectError
        A damaged file.
    UnknownStackError
    """
    info = project.store().stack(stack).info
    found = find_evaluated(project, (stack,), model, None)
    entries = in_order(of_stack(info, found.stacks[stack], found))
    scored = read_scored(project, found, stack)
    predicted = None if scored is None else scored[1]
    return MistakeList(found.model, found.number, entries, predicted, info.split == "test")
