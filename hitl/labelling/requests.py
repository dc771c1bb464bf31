"""What the verbs of labelling are asked for; the command line's options follow from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as default
from pathlib import Path
from typing import Annotated, Literal

from annotations.splits import Split
from hitl.prediction.requests import SegmenterName
from hitl.project.errors import UsageError
from hitl.project.options import (
    Annotator,
    Axes,
    Classes,
    Field,
    Fields,
    Flag,
    Settings,
    VoxelSize,
    parse_classes,
    parse_labels,
    parse_words,
)

Verified = Literal["all", "changed"]
"""What a person has looked at: the whole field, or only what they changed."""


@dataclass(frozen=True, kw_only=True)
class AddRequest:
    """What `hitl add` is asked for.

    Parameters
    ----------
    images : tuple of Path
        The image's file, or several: one per channel, or one per time point.
    field : str, optional
        Name of the field; the first file's if not given.
    along : {"channels", "times"}, optional
        What each of several files is.
    split : {"train", "val", "test"}
        A field of split test never reaches training.
    labels : tuple of (str or None, Path)
        Hand-made label image, verified everywhere; CLASS=FILE where there are several classes
        (repeatable).
    classes : tuple of (str, tuple of str)
        What is labelled, and in which channels (repeatable); what hitl.yaml says if not given.
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm where the file has none.
    time_step_s : float, optional
        Seconds between time points where the file has none.
    axes : str, optional
    channel : str, optional
        Channel to segment, name or number from 0, of a field of one class.
    channel_names : tuple of str
        Name of a channel, in their order (repeatable).
    meta : mapping of str to str
        Of the experiment, such as condition=drug well=B3.

    Raises
    ------
    UsageError
        Options that do not go together, or a time step that is not above 0.
    """

    images: Annotated[
        tuple[Path, ...],
        Flag(metavar="IMAGE", argument=True, help="TIFF, OME-Zarr, NPY, ND2, PNG, BMP, JPEG."),
    ]
    field: Annotated[str | None, Flag("--field", also=("--name",), metavar="NAME")] = None
    along: Literal["channels", "times"] | None = None
    split: Split = "train"
    labels: Annotated[
        tuple[tuple[str | None, Path], ...], Flag(metavar="[CLASS=]FILE", parse=parse_labels)
    ] = ()
    classes: Annotated[
        tuple[tuple[str, tuple[str, ...]], ...],
        Flag("--class", metavar="NAME[=CHANNEL,…]", parse=parse_classes),
    ] = ()
    spacing_um: VoxelSize = None
    time_step_s: Annotated[float | None, Flag(metavar="S", min=1e-9, max=1e12)] = None
    axes: Axes = None
    channel: Annotated[str | None, Flag(metavar="C")] = None
    channel_names: Annotated[tuple[str, ...], Flag("--channel-name", metavar="NAME")] = ()
    meta: Annotated[Mapping[str, str], Flag(metavar="KEY=VALUE", parse=parse_words, many=True)] = (
        default(default_factory=dict)
    )

    def __post_init__(self) -> None:
        for wrong, why in (
            (self.along and len(self.images) == 1, "--along is for several files, got one"),
            (
                self.channel is not None and any(channels for _, channels in self.classes),
                "give --channel or --class NAME=CHANNEL, not both",
            ),
            (
                self.time_step_s is not None and not 0 < self.time_step_s < math.inf,
                f"--time-step-s: expected seconds above 0, got {self.time_step_s}",
            ),
        ):
            if wrong:
                raise UsageError(why)


@dataclass(frozen=True, kw_only=True)
class BootstrapRequest:
    """What `hitl bootstrap` is asked for.

    Parameters
    ----------
    segmenter : str, optional
        The config's if not given.
    fields, classes : tuple of str
        Only these; all of split train and val when empty.
    settings : mapping
        One of the segmenter's options, over those of hitl.yaml (repeatable).
    replace : bool
        Also where there are unverified labels already.
    """

    segmenter: SegmenterName = None
    settings: Settings = default(default_factory=dict)
    fields: Fields = ()
    classes: Classes = ()
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
    yes : bool
        Import labels that no correction looks like, too.
    dry_run : bool
        Only tell what would be done.
    """

    field: Field
    file: Path
    annotator: Annotator = None
    minutes: Annotated[float | None, Flag(min=0, max=1_000_000)] = None
    verified: Verified = "changed"
    axes: Axes = None
    coded: bool = False
    yes: bool = False
    dry_run: bool = False
