"""Which labels are meant by what people write: FIELD, FIELD:CLASS, and names of classes."""

from __future__ import annotations

from collections.abc import Sequence

from annotations.fields import LabelsInfo, labels_of
from annotations.names import split_address, unknown_name
from annotations.store import AnnotationStore


def chosen_labels(
    store: AnnotationStore,
    names: Sequence[str] = (),
    classes: Sequence[str] = (),
    round: int | None = None,
) -> list[LabelsInfo]:
    """Return the labels that were named, each once; all of the store's where nothing was.

    Parameters
    ----------
    store : AnnotationStore
    names : sequence of str
        Each ``FIELD``, which stands for all its classes, or ``FIELD:CLASS``.
    classes : sequence of str
        Only these classes; all when empty.
    round : int, optional
        As of this round.

    Raises
    ------
    UnknownFieldError
        A field or class that is not there.
    """
    found: dict[str, LabelsInfo] = {}
    for name in names:
        field, class_name = split_address(name)
        infos = (
            labels_of(store.field(field, round).info)
            if class_name is None
            else [store.labels(name, round).info]
        )
        found.update({info.key: info for info in infos})
    every = list(found.values()) if names else store.all_labels(round)
    _check_classes(every, classes)
    return [info for info in every if not classes or info.class_name in classes]


def _check_classes(every: Sequence[LabelsInfo], classes: Sequence[str]) -> None:
    known = {info.class_name for info in every}
    for name in classes:
        if name not in known:
            raise unknown_name("class", name, known, "the fields' classes", "none yet")
