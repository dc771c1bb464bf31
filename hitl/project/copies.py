"""Fields that hold voxels of each other, told to whoever asks."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from annotations.copies.copy import Copy
from annotations.store import AnnotationStore
from hitl.project.reporter import Reporter


def known_copies(store: AnnotationStore, reporter: Reporter) -> list[Copy]:
    """Return which fields hold voxels of others; a note tells where that has to be found out now.

    Parameters
    ----------
    store : AnnotationStore
    reporter : Reporter
    """
    if store.looks_at_copies_again():
        reporter.note(
            "fields that an earlier version of this toolkit added are compared with each other by "
            "content now; the next `hitl add` keeps what is found"
        )
    return store.copies(progress=reporter.progress)


def note_copies_of(
    what: str,
    learned: Collection[str],
    scored: Collection[str],
    copies: Sequence[Copy],
    reporter: Reporter,
) -> None:
    """Tell where a model is scored on a copy of what it learned from.

    Parameters
    ----------
    what : str
        The model.
    learned, scored : collection of str
        Fields.
    copies : sequence of Copy
    reporter : Reporter
    """
    for copy in copies:
        for name, other in (copy.names, copy.names[::-1]):
            if name in scored and other in learned:
                reporter.note(
                    f"{what} was trained on {other}, and {copy}: its score on {name} flatters it"
                )
