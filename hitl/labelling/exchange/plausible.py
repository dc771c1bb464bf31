"""Labels that no correction looks like: they are told of before anything is written."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from annotations.edits.records import Edits
from annotations.views import LabelsView
from hitl.labelling.exchange.errors import ExchangeError

FEW = 4
"""With fewer objects than these, all of them may well be wrong."""


def check_plausible(
    labels: NDArray[np.uint32], objects: int, edits: Edits, now: LabelsView, name: str
) -> None:
    """Refuse labels that would undo most of a field, or are no labels at all.

    Parameters
    ----------
    labels : ndarray of uint32, shape (T * Z, Y, X)
        What the file holds.
    objects : int
        How many objects these are.
    edits : Edits
        What would be done.
    now : LabelsView
        The labels that it would be done to.
    name : str
        The file's, for messages.

    Raises
    ------
    ExchangeError
    """
    before = sum(change for status, change in now.counts.items() if status != "rejected")
    deleted = sum(not change.after for change in edits.changes)
    joined = max((len(change.before) for change in edits.changes), default=0)
    added = sum(not change.before for change in edits.changes)
    what = None
    if _is_image(labels, now):
        what = "these are the intensities of the image and no labels"
    elif before >= FEW and objects == 0:
        what = f"nothing is labelled in it, so all {before} objects would be deleted"
    elif before >= FEW and objects == 1 and joined > before / 2:
        what = (
            f"it is one object where there are {before}, as a mask of foreground is; give each "
            "object a number of its own"
        )
    elif before >= FEW and deleted > before / 2:
        what = f"it would delete {deleted} of {before} objects and add {added}"
    if what is not None:
        raise ExchangeError(
            f"{name}: expected corrections of {now.info.address}, got labels that no correction "
            f"looks like: {what}; nothing was written; look at it, or say --yes if you mean it"
        )


def _is_image(labels: NDArray[np.uint32], now: LabelsView) -> bool:
    """Whether the middle slice is that of a channel."""
    view = next(now.time_points())
    middle = view.info.zyx[0] // 2
    mine = labels[middle]
    if mine.min() == mine.max():
        return False
    return any(np.array_equal(channel, mine) for channel in view.image[:, middle])
