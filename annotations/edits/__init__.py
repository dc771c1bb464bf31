"""Edits: what a person changed, found by comparing labels, and what follows from it."""

from annotations.edits.compare import compare_labels
from annotations.edits.records import Edit, Edits, Kind
from annotations.edits.table import updated_objects

__all__ = [
    "Edit",
    "Edits",
    "Kind",
    "compare_labels",
    "updated_objects",
]
