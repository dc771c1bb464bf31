"""Segmenting a field of the store box by box: neither the image nor its labels are held whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from annotations.codecs import image_codec, label_codec
from annotations.formats import write_labels_tiff
from annotations.formats.new_file import new_file
from annotations.layout import CHUNKS
from annotations.planes import ImageOfTime
from annotations.views import LabelsView
from hitl.preprocess.streaming import apply_streamed, dtype_after, why_not_streamed
from hitl.project.processing import PreprocessStep
from labels.arrays import OneChannel
from labels.progress import Progress
from models.base import BlockSegmentation, BlockSegmenter, BlockSource, LabelSink, Segmenter

LABEL_BLOCK = 256
"""Side of the boxes in which labels wait for the file; StarDist draws such boxes."""


def why_whole(
    segmenter: Segmenter, steps: Sequence[PreprocessStep], dtype: np.dtype[Any]
) -> str | None:
    """Return why a field can only be segmented whole, in words, or None.

    Parameters
    ----------
    segmenter : Segmenter
    steps : sequence of step models
        The preprocessing.
    dtype : numpy dtype
        Of the image.
    """
    if not isinstance(segmenter, BlockSegmenter):
        return f"{segmenter.name} cannot segment box by box"
    return why_not_streamed(steps, dtype)


def segment_view(
    segmenter: BlockSegmenter,
    steps: Sequence[PreprocessStep],
    view: LabelsView,
    sink: LabelSink,
    scratch: Path,
    progress: Progress,
) -> BlockSegmentation:
    """Preprocess and segment a field of the store into `sink`.

    Parameters
    ----------
    segmenter : BlockSegmenter
    steps : sequence of step models
        For which `why_whole` says None.
    view : LabelsView
    sink : array of uint32, shape (Z, Y, X)
    scratch : Path
        Folder for the preprocessed image, where there are steps.
    progress : callable
    """
    source: BlockSource = view.seen_image
    if steps:
        source = _preprocessed(steps, view.seen_image, scratch / "image.zarr", progress)
    return segmenter.segment_blocks(source, sink, view.info.spacing_um, progress=progress)


def segment_to_file(
    segmenter: BlockSegmenter,
    steps: Sequence[PreprocessStep],
    view: LabelsView,
    file: Path,
    progress: Progress,
) -> BlockSegmentation:
    """Preprocess and segment a field of the store into a label TIFF, ids 1…n.

    What waits to be written lies compressed in a hidden folder beside `file`, which goes
    whatever happens; the file appears, or replaces an older one, when it is complete.

    Parameters
    ----------
    segmenter, steps, view, progress
        As for `segment_view`.
    file : Path
        In a folder that exists.

    Raises
    ------
    FormatError
        When no space is left.
    """
    with scratch_folder(file.parent) as scratch:
        labels = _label_array(scratch / "labels.zarr", view.info.zyx)
        found = segment_view(segmenter, steps, view, labels, scratch, progress)
        dense = Dense(labels, found.confidence, progress)
        write_labels_tiff(file, dense, view.info.spacing_um, overwrite=True)
    return found


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Give a hidden folder in `parent`, on whose disk the result must fit anyway."""
    with tempfile.TemporaryDirectory(prefix=".blocks-", dir=parent) as folder:
        yield Path(folder)


def copy_file(source: Path, target: Path) -> None:
    """Copy a label file to a name that must be free; it appears when it is complete."""
    with new_file(target, (".tif",)) as partial:
        shutil.copyfile(source, partial)


class Dense:
    """Labels renumbered 1…n in the order of their ids, as they are read.

    Parameters
    ----------
    labels : array of uint32, shape (Z, Y, X)
    ids : iterable of int
        All ids but 0.
    progress : callable
        Told at each slice that is read; writing reads all of them twice.
    """

    def __init__(self, labels: Any, ids: Mapping[int, float], progress: Progress) -> None:
        self._labels, self._progress, self._read = labels, progress, 0
        self.shape: tuple[int, ...] = labels.shape
        self.dtype = np.dtype(np.uint32)
        self._number = np.zeros(max(ids, default=0) + 1, np.uint32)
        self._number[sorted(ids)] = np.arange(1, len(ids) + 1)

    def __getitem__(self, key: Any) -> NDArray[np.uint32]:
        self._progress(min(self._read, 2 * self.shape[0]), 2 * self.shape[0], "writing")
        self._read += 1
        dense: NDArray[np.uint32] = self._number[np.asarray(self._labels[key])]
        return dense


def _preprocessed(
    steps: Sequence[PreprocessStep], image: ImageOfTime, path: Path, progress: Progress
) -> zarr.Array[Any]:
    dtype = dtype_after(steps, image.dtype).newbyteorder("=")
    target = zarr.create_array(
        path,
        shape=image.shape,
        chunks=(1, *(min(c, n) for c, n in zip(CHUNKS, image.shape[1:], strict=True))),
        dtype=dtype,
        compressors=image_codec(dtype),
        fill_value=0,
    )
    for number in range(image.shape[0]):
        apply_streamed(steps, OneChannel(image, number), OneChannel(target, number), progress)
    return target


def _label_array(path: Path, shape: tuple[int, int, int]) -> zarr.Array[Any]:
    """Boxes of single slices, as the file wants them, each box in one file."""
    depth, height, width = (min(LABEL_BLOCK, n) for n in shape)
    return zarr.create_array(
        path,
        shape=shape,
        chunks=(1, height, width),
        shards=(depth, height, width),
        dtype=np.uint32,
        compressors=label_codec(),
        fill_value=0,
    )
