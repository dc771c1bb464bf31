"""The files of one export: which they are, and how they come to be, all or none."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import fastremap
import numpy as np
from numpy.typing import NDArray

from annotations.formats import write_image_tiff, write_labels_tiff
from annotations.formats.cellpose_seg import write_cellpose_seg
from annotations.formats.ome_zarr_write import write_ome_zarr
from annotations.formats.rois import write_rois
from annotations.stacks import StackView
from hitl.labelling.exchange.errors import ExchangeError
from hitl.postprocess import to_semantic_coding
from hitl.project.reporter import Reporter

Format = Literal["tiff", "labkit", "cellpose", "rois", "ome-zarr", "coded"]
"""What labels are exported as; ``coded`` is 0 background, 1 edge, 2 and up nuclei."""

_LABELS: dict[str, str] = {
    "tiff": "{}_labels.tif",
    "labkit": "{}_labels.tif",
    "cellpose": "{}_seg.npy",
    "rois": "{}_rois.zip",
    "ome-zarr": "{}.ome.zarr",
    "coded": "{}_classes.tif",
}
_FILE_SUFFIXES = (".tif", ".tiff", ".npy", ".zip", ".roi", ".zarr", ".json")


def file_names(stack: str, fmt: str) -> tuple[str, ...]:
    """Return the names of the files of an export, that of the labels last."""
    labels = _LABELS[fmt].format(stack)
    return (labels,) if fmt == "ome-zarr" else (f"{stack}.tif", labels)


def write_files(
    view: StackView,
    fmt: str,
    folder: Path,
    destination: Path,
    provenance: Mapping[str, Any],
    reporter: Reporter,
) -> tuple[int, ...]:
    """Write the files of an export into a folder.

    Parameters
    ----------
    view : StackView
    fmt : str
        One of `Format`.
    folder : Path
        Where they are written.
    destination : Path
        Where they will be.
    provenance : mapping
        The attribute ``provenance:steps``, for formats that can carry it.
    reporter : Reporter

    Returns
    -------
    tuple of int
        The ids in the file, ascending.
    """
    info = view.info
    *image, labels_name = file_names(info.name, fmt)
    path = folder / labels_name
    if fmt == "ome-zarr":
        write_ome_zarr(
            path,
            view.image,
            view.labels,
            info.spacing_um,
            channels=info.channels,
            attributes=provenance,
        )
    reporter.progress(0, 2, f"{info.name}: image")
    for name in image:
        write_image_tiff(folder / name, _Channel(view), info.spacing_um)
    reporter.progress(1, 2, f"{info.name}: labels")
    labels = np.asarray(view.labels[...], np.uint32)
    if fmt in ("tiff", "labkit"):
        write_labels_tiff(path, labels, info.spacing_um)
    elif fmt == "coded":
        write_labels_tiff(path, to_semantic_coding(labels), info.spacing_um)
    elif fmt == "cellpose":
        write_cellpose_seg(path, labels, (destination / image[0]).resolve())
    elif fmt == "rois":
        write_rois(path, labels)
    reporter.progress(2, 2, f"{info.name}: labels")
    ids: NDArray[np.uint32] = fastremap.unique(labels)
    return tuple(int(i) for i in ids[ids > 0])


class _Channel:
    """The segmented channel of a stack, read when it is indexed by z."""

    def __init__(self, view: StackView) -> None:
        self._image, self._channel = view.image, view.info.channel
        self.shape, self.dtype = view.info.zyx, view.info.dtype

    def __getitem__(self, z: int) -> object:
        return self._image[self._channel, z]


@contextmanager
def new_folder_files(destination: Path, names: Sequence[str]) -> Iterator[Path]:
    """Give a temporary folder, whose files move to `destination` when all of them are there.

    Raises
    ------
    ExchangeError
        The destination cannot be a folder, or holds one of the files already.
    """
    if destination.suffix.lower() in _FILE_SUFFIXES or destination.is_file():
        raise ExchangeError(f"{destination}: expected a folder for the files, got a file's name")
    taken = [name for name in names if (destination / name).exists()]
    if taken:
        raise ExchangeError(
            f"{destination}: holds {', '.join(taken)} already; name another folder, or move them"
        )
    made = not destination.exists()
    folder = destination / f".{uuid.uuid4().hex}.partial"
    try:
        folder.mkdir(parents=True)
        yield folder
        for name in names:
            (folder / name).rename(destination / name)
    except OSError as exc:
        _take_back(folder, destination, names)
        raise ExchangeError(
            f"{destination}: cannot be written ({exc.strerror or exc}); free some space or choose "
            "another folder"
        ) from exc
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if made and destination.is_dir() and not any(destination.iterdir()):
            destination.rmdir()


def _take_back(folder: Path, destination: Path, names: Sequence[str]) -> None:
    """Remove those files that had moved already."""
    for name in names:
        moved = destination / name
        if moved.exists() and not (folder / name).exists():
            shutil.rmtree(moved) if moved.is_dir() else moved.unlink()
