"""What edits and verdicts mean for the table of objects."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from annotations.changes import counts_of, moved, object_changes
from annotations.edits.records import Edits
from annotations.errors import LabelError
from annotations.objects import ObjectTable, Status
from annotations.rounds import EditCounts


def updated_objects(
    objects: ObjectTable,
    edits: Edits,
    *,
    annotator: str,
    round: int,
    accepted: Collection[int] = (),
    elsewhere: Collection[int] = (),
) -> tuple[ObjectTable, EditCounts]:
    """Return the table after a person's edits and verdicts.

    Objects of a change become corrected, those that a change did away with rejected (their rows
    keep their ids from being given again, and the confidence that a model had in them). A proposed
    object that is unchanged and accepted becomes accepted and keeps its confidence. All of these
    get the person as origin and the round; every other row stays.

    Parameters
    ----------
    objects : ObjectTable
        Rows of the labels before.
    edits : Edits
    annotator : str
        Who did it.
    round : int
        The round that it becomes.
    accepted : collection of int
        Ids after, as the tool had them.
    elsewhere : collection of int
        Ids before that have voxels where nobody compared, at other time points: what did away
        with such an object here leaves its row as it is.

    Returns
    -------
    objects : ObjectTable
    counts : EditCounts
        As the round's commit will have them.

    Raises
    ------
    LabelError
        A label before that has no row, or an accepted id that the labels after do not have.
    """
    known = objects.live_ids
    missing = np.setdiff1d(edits.before.ids, known)
    if missing.size:
        raise LabelError(
            f"objects: expected a row for every label before, got none for ids "
            f"{missing[:5].tolist()}; compare with the labels that this table belongs to"
        )
    corrected = {i for change in edits.changes for i in change.stable}
    gone = {i for change in edits.changes for i in change.before} - corrected
    gone -= set(elsewhere)
    approved = np.setdiff1d(np.asarray(edits.stable_id(accepted), np.int64), list(corrected))
    unknown = np.setdiff1d(approved, known)
    if unknown.size:
        raise LabelError(
            f"objects: expected accepted ids of objects in the labels, got {unknown[:5].tolist()}"
        )
    proposed = objects.id[objects.status == Status.PROPOSED]
    approved = np.intersect1d(approved, proposed)
    kept = dict(zip(objects.id.tolist(), objects.confidence.tolist(), strict=True))
    verdicts = {
        **dict.fromkeys(corrected, Status.CORRECTED),
        **dict.fromkeys(gone, Status.REJECTED),
        **dict.fromkeys(approved.tolist(), Status.ACCEPTED),
    }
    rows = ObjectTable.make(
        list(verdicts),
        status=list(verdicts.values()),
        origin=f"person:{annotator}",
        confidence={i: kept[i] for i in verdicts if i not in corrected},
        round=round,
    )
    updated = objects.updated(rows)
    changes = object_changes(moved(edits.shape, edits.pairs), objects, updated)
    return updated, counts_of(changes)
