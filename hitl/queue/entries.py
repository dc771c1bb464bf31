"""What stands in the queue."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import Interval

from models.options import Seed

Kind = Literal["object", "missed"]
Chosen = Literal["expected error", "random"]


@dataclass(frozen=True, kw_only=True)
class QueueOptions:
    """How the queue is put together.

    Parameters
    ----------
    random_share : float
        Share of the listed entries that are drawn at random from all that would not be listed,
        so that the error of the unlisted rest can be estimated without bias.
    seed : int
        Of the random entries.
    """

    random_share: Annotated[float, Interval(ge=0, le=1)] = 0.1
    seed: Seed = 0


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One object to look at, or one place where an object may be missing.

    Parameters
    ----------
    field : str
        Address of the labels.
    kind : {"object", "missed"}
    id : int or None
        The object's label; None for a missed one.
    position_zyx : (int, int, int)
        In voxels; of an object, a voxel of its own.
    score : float
        Expected error, 1 - IoU with what is truly there, in [0, 1].
    confidence : float or None
        What the segmenter said of the object.
    reasons : tuple of str
        In plain words, weightiest first.
    voxels : int
    chosen : {"expected error", "random"}
    source : str
        For a missed object: the segmentation that shows it …
    source_label : int
        … and its label there; 0 for an object.
    time : int or None
        Time point of a series; None where there is one.
    """

    field: str
    kind: Kind
    id: int | None
    position_zyx: tuple[int, int, int]
    score: float
    confidence: float | None
    reasons: tuple[str, ...]
    voxels: int
    chosen: Chosen = "expected error"
    source: str = ""
    source_label: int = 0
    time: int | None = None

    @property
    def why(self) -> str:
        """The reasons as one line."""
        words = "; ".join(self.reasons) or "nothing unusual"
        return f"drawn at random ({words})" if self.chosen == "random" else words

    def at_random(self) -> Entry:
        """Return this entry marked as drawn at random."""
        return replace(self, chosen="random")
