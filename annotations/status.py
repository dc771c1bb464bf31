"""What a store says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from annotations.fields import LabelsInfo
from annotations.views import LabelsView


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """What no commit refers to, and was removed (or would be).

    Parameters
    ----------
    bytes, chunks, manifests, snapshots : int
    removed : bool
        False when it was only counted.
    """

    bytes: int
    chunks: int
    manifests: int
    snapshots: int
    removed: bool


@dataclass(frozen=True, kw_only=True)
class LabelsStatus:
    """State of the labels of one class in one field.

    Parameters
    ----------
    info : LabelsInfo
    objects : mapping of str to int
        Number of objects by status.
    verified_share : float
        Of all voxels, in [0, 1].
    """

    info: LabelsInfo
    objects: dict[str, int]
    verified_share: float


def labels_status(view: LabelsView) -> LabelsStatus:
    """Return the state of labels without reading their voxels."""
    return LabelsStatus(
        info=view.info,
        objects=view.counts,
        verified_share=view.verified_voxels / view.info.voxels,
    )
