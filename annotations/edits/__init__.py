"""Edits: what a person changed, found by comparing labels, and what follows from it."""

from annotations.edits.compare import compare_labels
from annotations.edits.partial import compare_regions
from annotations.edits.records import Edit, Edits, Kind
from annotations.edits.sources import StableLabels
from annotations.edits.table import updated_objects
from annotations.edits.verified import VerifiedPatch, shell_voxels, verified_mask_update

__all__ = [
    "Edit",
    "Edits",
    "Kind",
    "StableLabels",
    "VerifiedPatch",
    "compare_labels",
    "compare_regions",
    "shell_voxels",
    "updated_objects",
    "verified_mask_update",
]
