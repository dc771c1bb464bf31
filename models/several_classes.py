"""Segmenters that tell several classes apart."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from models.base import Segmenter


@runtime_checkable
class ClassSegmenter(Segmenter, Protocol):
    """A segmenter that may tell several classes apart: it is asked for one of them."""

    def of_class(self, class_name: str) -> Segmenter:
        """Return the segmenter of a class; itself where it was taught one kind of thing.

        Parameters
        ----------
        class_name : str
            Empty where none was named.

        Raises
        ------
        ModelError
            It tells several apart, and this is none of them.
        """
        ...


def for_class(segmenter: Segmenter, class_name: str) -> Segmenter:
    """Return what segments a class: the segmenter, or that of the class where it knows several."""
    return segmenter.of_class(class_name) if isinstance(segmenter, ClassSegmenter) else segmenter
