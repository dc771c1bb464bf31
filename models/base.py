"""The one contract of every segmenter and trainer."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from labels.numbers import number_of, unfit_for_float32
from labels.progress import Progress, no_progress
from labels.spacing import Spacing
from models.errors import ImageError, TrainingDataError

Kind = Literal["instances", "area"]
"""Whether labels are objects, one id each, or an area, which is one id."""


@dataclass(frozen=True)
class Segmentation:
    """What a segmenter says about one image.

    Parameters
    ----------
    labels : ndarray of uint32, shape (Z, Y, X)
        Instance labels, 0 is background.
    confidence : mapping of int to float
        Confidence in [0, 1] of each object that has one.
    probability : ndarray of float32, shape (Z, Y, X), optional
        Foreground probability per voxel.
    notes : tuple of str
        What the user must be told (a fallback taken, a default guessed).
    """

    labels: NDArray[np.uint32]
    confidence: Mapping[int, float] = field(default_factory=dict)
    probability: NDArray[np.float32] | None = None
    notes: tuple[str, ...] = ()


@runtime_checkable
class Segmenter(Protocol):
    """Anything that turns one image into instance labels."""

    @property
    def name(self) -> str:
        """Name in the registry."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return settings and weights (with their sha256), JSON-serialisable, for provenance."""
        ...

    def segment(
        self,
        image: NDArray[Any],
        spacing_um: Spacing,
        *,
        progress: Progress = no_progress,
    ) -> Segmentation:
        """Segment one time point of a field.

        Parameters
        ----------
        image : ndarray of integer or float, shape (C, Z, Y, X)
            The channels that show what is to be found.
        spacing_um : (float, float, float)
            Voxel size (z, y, x) in µm.
        progress : callable, optional

        Returns
        -------
        Segmentation

        Raises
        ------
        ImageError
            When it has not these axes or too many channels, holds NaN or infinite voxels, or a
            channel is constant.
        """
        ...


class CheckedSegmenter(ABC):
    """What the segmenters of this package share: an image that none can take is refused."""

    name: ClassVar[str]
    """Name in the registry."""

    image_name: ClassVar[str] = "image"
    """What the image is called in the error's message."""

    most_channels: ClassVar[int] = 1
    """How many channels it takes."""

    def segment(
        self, image: NDArray[Any], spacing_um: Spacing, *, progress: Progress = no_progress
    ) -> Segmentation:
        """Segment one time point of a field, as `Segmenter.segment` says."""
        check_image(image, self.image_name)
        self._check_channels(image.shape[0])
        return self._segment(image, spacing_um, progress)

    def _check_channels(self, count: int) -> None:
        if count > self.most_channels:
            raise channels_error(
                self.image_name,
                self.name,
                f"at most {number_of(self.most_channels, 'channel')}",
                count,
            )

    @abstractmethod
    def _segment(
        self, image: NDArray[Any], spacing_um: Spacing, progress: Progress
    ) -> Segmentation:
        """Segment an image (C, Z, Y, X) that was checked."""


class OneChannelSegmenter(CheckedSegmenter):
    """What segmenters of one channel share."""

    def _segment(
        self, image: NDArray[Any], spacing_um: Spacing, progress: Progress
    ) -> Segmentation:
        return self._segment_channel(image[0], spacing_um, progress)

    @abstractmethod
    def _segment_channel(
        self, image: NDArray[Any], spacing_um: Spacing, progress: Progress
    ) -> Segmentation:
        """Segment a channel (Z, Y, X) that was checked."""


def channels_error(what: str, model: str, expected: str, got: int) -> ImageError:
    """Return the error for an image of other channels than a model takes."""
    return ImageError(
        f"{what}: {model} takes {expected}, got {got}; name those that show the objects with "
        "--channel (of a field: where it is added, with `hitl add`), or take another model"
    )


class BlockSource(Protocol):
    """What an image is read from box by box: a NumPy array, a memory map, a zarr array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (C, Z, Y, X)."""
        ...

    def __getitem__(self, box: Any) -> Any: ...


class LabelSink(Protocol):
    """What labels are written to: a NumPy array, a memory map, a zarr array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (Z, Y, X)."""
        ...

    def __setitem__(self, box: Any, labels: Any) -> None: ...


@dataclass(frozen=True)
class BlockSegmentation:
    """What was written to a sink.

    Parameters
    ----------
    confidence : mapping of int to float
        Confidence of each object; its keys are the ids in the sink.
    notes : tuple of str
        What the user must be told.
    """

    confidence: Mapping[int, float]
    notes: tuple[str, ...] = ()


@runtime_checkable
class BlockSegmenter(Segmenter, Protocol):
    """A segmenter that need not hold the stack: it finds the objects of `segment` box by box."""

    def segment_blocks(
        self,
        source: BlockSource,
        sink: LabelSink,
        spacing_um: Spacing,
        *,
        progress: Progress = no_progress,
    ) -> BlockSegmentation:
        """Segment a stack that is larger than memory into an array on disk.

        Parameters
        ----------
        source : array of integer or float, shape (C, Z, Y, X)
            Read in boxes, in any order and more than once.
        sink : array of uint32, shape (Z, Y, X)
            Every voxel is written.
        spacing_um : (float, float, float)
            Voxel size (z, y, x) in µm.
        progress : callable, optional

        Raises
        ------
        ImageError
            When the image is not 3D, holds NaN or infinite voxels, or is constant, or the sink
            has another shape.
        """
        ...


@dataclass(frozen=True)
class TrainingSample:
    """One labelled image, or part of one.

    Parameters
    ----------
    name : str
        Stack name, used in messages.
    image : ndarray of integer or float, shape (C, Z, Y, X)
    labels : ndarray of uint32, shape (Z, Y, X)
    mask : ndarray of bool, shape (Z, Y, X)
        True where the label (or the background) may be learned from.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    class_name : str
        What is labelled; empty where there is only one kind.
    kind : {"instances", "area"}
    scene : str
        Samples of one scene are labels of several classes in the same image; empty where the
        sample is alone.
    held_out : ndarray of bool, shape (Z, Y, X), optional
        True where nothing may be learned though something is known: a model is judged there.
    field : str
        What shares a size of objects: samples of one field; the sample's own where empty.
    """

    name: str
    image: NDArray[Any]
    labels: NDArray[np.uint32]
    mask: NDArray[np.bool_]
    spacing_um: Spacing
    class_name: str = ""
    kind: Kind = "instances"
    scene: str = ""
    held_out: NDArray[np.bool_] | None = None
    field: str = ""

    def __post_init__(self) -> None:
        shapes = {self.image.shape[1:], self.labels.shape, self.mask.shape}
        if len(shapes) != 1 or self.image.ndim != 4:
            raise TrainingDataError(
                f"stack {self.name!r}: expected an image (C, Z, Y, X), and labels and mask of its "
                f"ZYX shape, got {self.image.shape}, {self.labels.shape} and {self.mask.shape}"
            )


@dataclass(frozen=True)
class TrainingResult:
    """What a trainer leaves in the run folder.

    Parameters
    ----------
    weights : Path
        The best checkpoint, inside the run folder.
    best_epoch, epochs : int
        Epoch of the best validation value, and epochs trained.
    validation : mapping of str to float
        Validation values of the best checkpoint; empty where there was no time for any.
    base : str
        What the training started from: ``"random"`` or a run folder's name and weights' sha256.
    licence : str
        Licence that the weights are under because of what they started from.
    notes : tuple of str
        What the user must be told.
    steps : int
        Steps trained; 0 where there is no such thing.
    """

    weights: Path
    best_epoch: int
    epochs: int
    validation: Mapping[str, float]
    base: str = "random"
    licence: str = "as the training data"
    notes: tuple[str, ...] = ()
    steps: int = 0


@runtime_checkable
class Trainer(Protocol):
    """A frozen dataclass of flat options whose `train` fills a run folder."""

    def train(
        self,
        train: Sequence[TrainingSample],
        val: Sequence[TrainingSample],
        run_folder: Path,
        *,
        progress: Progress = no_progress,
    ) -> TrainingResult:
        """Train on `train`, choose on `val`, write weights and `curves.csv` to `run_folder`.

        Raises
        ------
        TrainingDataError
            When the samples hold no object or no voxel that counts.
        TrainingDivergedError
            When the loss is no longer finite.
        """
        ...


def check_image(image: NDArray[Any], what: str = "image") -> None:
    """Refuse what no segmenter can take.

    Parameters
    ----------
    image : ndarray, expected shape (C, Z, Y, X)
    what : str
        Name used in the message.

    Raises
    ------
    ImageError
        Not four dimensions, empty, NaN or infinite voxels, or one single value in a channel.
    """
    check_shape(image.shape, what)
    for number, channel in enumerate(image):
        name = what if len(image) == 1 else f"{what}, channel {number}"
        check_range(float(channel.min()), float(channel.max()), name)


def one_channel_of(samples: Sequence[TrainingSample], model: str) -> None:
    """Refuse samples of several channels for a model that takes one.

    Raises
    ------
    TrainingDataError
    """
    for sample in samples:
        if sample.image.shape[0] != 1:
            raise TrainingDataError(
                f"stack {sample.name!r}: {model} takes one channel, got {sample.image.shape[0]}; "
                "add the field again with the one that shows the objects (`hitl add --channel`)"
            )


def common_channels(samples: Sequence[TrainingSample]) -> int:
    """Return how many channels all samples have.

    Raises
    ------
    TrainingDataError
        Not the same in all.
    """
    found = {sample.image.shape[0]: sample.name for sample in samples}
    if len(found) > 1:
        listed = ", ".join(f"{count} in {name!r}" for count, name in found.items())
        raise TrainingDataError(
            f"expected as many channels in every training stack, got {listed}; train on classes "
            "that see equally many"
        )
    return next(iter(found), 1)


def check_shape(shape: tuple[int, ...], what: str = "image") -> None:
    """Refuse an image that has not the axes (C, Z, Y, X), or is empty."""
    if len(shape) != 4 or 0 in shape:
        raise ImageError(
            f"{what}: expected channels of a stack (C, Z, Y, X), got shape {shape}; "
            "give one time point, and one channel as an axis of length 1"
        )


def check_range(low: float, high: float, what: str = "image") -> None:
    """Refuse an image by its lowest and highest intensity: not finite, or the same to a model."""
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ImageError(
            f"{what}: expected finite intensities, got NaN or infinite voxels; "
            "replace them (for example with 0) and save the image again"
        )
    if (unfit := unfit_for_float32(low, high)) is not None:
        raise ImageError(
            f"{what}: expected intensities, got {unfit}; scale the image (for example to 0 to "
            "65535) and save it again"
        )
    if low == high:
        raise ImageError(
            f"{what}: every voxel has the value {low:g}; there is nothing to segment, "
            "check that the right channel and file were given"
        )
