"""On what a training judges its epochs, and on what it chooses thresholds."""

from __future__ import annotations

from typing import TypeVar

from labels.numbers import number_of

T = TypeVar("T")

FEW_OBJECTS = 20
"""With fewer validation objects, thresholds are chosen on the training objects too."""


def judged_and_tuned(
    val: list[T], train: list[T], objects: int, what: str, notes: list[str]
) -> tuple[list[T], list[T]]:
    """Return what the epochs are judged on, and what the thresholds are chosen on.

    Parameters
    ----------
    val, train : list
        Windows of the validation's and of the training's stacks or images.
    objects : int
        Labelled objects in `val`.
    what : str
        What they are windows of, such as "stack".
    notes : list of str
        Is told where the choice is not made on `val` alone.
    """
    if objects == 0:
        notes.append(
            f"no validation {what} holds a labelled object: the best epoch and the instance "
            f"thresholds were chosen on the training {what}s"
        )
        return train, train
    if objects >= FEW_OBJECTS:
        return val, val
    notes.append(
        f"validation holds {number_of(objects, 'object')}, so the instance thresholds were "
        f"chosen on the training {what}s too"
    )
    return val, [*val, *train]
