"""What the verbs of labelling are asked for; the command line's options follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotations.splits import Split
from hitl.project.options import (
    Annotator,
    Axes,
    Channel,
    Field,
    Fields,
    Flag,
    ImageFile,
    VoxelSize,
)

Verified = Literal["all", "changed"]
"""What a person has looked at: the whole field, or only what they changed."""


@dataclass(frozen=True, kw_only=True)
class AddRequest:
    """What `hitl add` is asked for.

    Parameters
    ----------
    image : Path
    name : str, optional
        Name of the field; the file's name if not given.
    split : {"train", "val", "test"}
        A field of split test never reaches training.
    labels : Path, optional
        Hand-made label image: verified everywhere.
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm where the file has none.
    axes : str, optional
    channel : str, optional
    group : str, optional
        Scores are given per group (a channel, say), then averaged.
    """

    image: ImageFile
    name: str | None = None
    split: Split = "train"
    labels: Annotated[Path | None, Flag(metavar="FILE")] = None
    spacing_um: VoxelSize = None
    axes: Axes = None
    channel: Channel = None
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class BootstrapRequest:
    """What `hitl bootstrap` is asked for.

    Parameters
    ----------
    segmenter : str, optional
        `hitl models` lists the names.
    fields : tuple of str
        Only these; all of split train and val when empty.
    replace : bool
        Also where there are unverified labels already.
    """

    segmenter: Annotated[str | None, Flag(metavar="NAME")] = None
    fields: Fields = ()
    replace: bool = False


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """What `hitl import` is asked for.

    Parameters
    ----------
    field : str
    file : Path
        Corrected labels.
    annotator : str, optional
    minutes : float, optional
        Minutes of hand work.
    verified : {"all", "changed"}
        What the person has looked at.
    axes : str, optional
    coded : bool
        The file holds 0 background, 1 edge, 2 and up nuclei.
    """

    field: Field
    file: Path
    annotator: Annotator = None
    minutes: Annotated[float | None, Flag(min=0)] = None
    verified: Verified = "changed"
    axes: Axes = None
    coded: bool = False
