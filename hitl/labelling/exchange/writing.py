"""The files of one export: which they are, and how they come to be, all or none."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import fastremap
import numpy as np
from numpy.typing import NDArray

from annotations.fields import LabelsInfo
from annotations.formats import write_image_tiff
from annotations.formats.format import Content, Format
from annotations.formats.new_file import move_new
from annotations.formats.registry import FORMATS
from annotations.planes import ImageOfTime
from annotations.views import LabelsView
from hitl.labelling.exchange.errors import ExchangeError
from hitl.project.reporter import Reporter
from labels.files import sync_tree


def file_names(info: LabelsInfo, fmt: Format) -> tuple[str, ...]:
    """Return the names of the files of an export, that of the labels last."""
    name = info.file_name
    labels = fmt.export_name.format(name)
    return (labels,) if fmt.holds_image else (f"{name}.tif", labels)


def write_files(
    view: LabelsView,
    fmt: Format,
    folder: Path,
    destination: Path,
    provenance: Mapping[str, Any],
    reporter: Reporter,
) -> tuple[int, ...]:
    """Write the files of an export into a folder.

    Parameters
    ----------
    view : LabelsView
    fmt : Format
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
    assert fmt.write is not None, "a format that exports"
    info = view.info
    *_, labels_name = file_names(info, fmt)
    image_name = f"{info.file_name}.tif"
    reporter.progress(0, 2, f"{info.address}: image")
    if not fmt.holds_image:
        write_image_tiff(
            folder / image_name,
            _Images([each.seen_image for each in view.time_points()]),
            info.spacing_um,
            channels=[info.field.channels[number] for number in info.seen],
            time_step_s=info.field.time_step_s,
        )
    reporter.progress(1, 2, f"{info.address}: labels")
    fmt.check_times(folder / labels_name, info.times)
    labels = np.asarray(view.labels[...], np.uint32)
    content = Content(
        labels=labels,
        spacing_um=info.spacing_um,
        image=_Images([each.image for each in view.time_points()]),
        channels=info.field.channels,
        times=info.times,
        time_step_s=info.field.time_step_s,
        image_file=(destination / image_name).resolve(),
        provenance=provenance,
    )
    fmt.write(folder / labels_name, content)
    reporter.progress(2, 2, f"{info.address}: labels")
    ids = fastremap.unique(labels)
    return tuple(int(i) for i in ids[ids > 0])


class _Images:
    """An image at all its time points, (T, C, Z, Y, X); read when indexed by time and channel."""

    def __init__(self, times: Sequence[ImageOfTime]) -> None:
        self._times = times
        self.shape = (len(times), *times[0].shape)
        self.dtype = times[0].dtype

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        time, *rest = key
        return np.asarray(self._times[time][tuple(rest)])


@contextmanager
def new_folder_files(destination: Path, names: Sequence[str]) -> Iterator[Path]:
    """Give a temporary folder, whose files move to `destination` when all of them are there.

    A name that somebody else takes meanwhile stays theirs, and nothing is moved.

    Raises
    ------
    ExchangeError
        The destination cannot be a folder, or holds one of the files already.
    """
    suffixes = (".json", *(suffix for fmt in FORMATS for suffix in fmt.suffixes))
    if destination.name.lower().endswith(suffixes) or destination.is_file():
        raise ExchangeError(f"{destination}: expected a folder for the files, got a file's name")
    taken = [name for name in names if (destination / name).exists()]
    if taken:
        raise ExchangeError(_taken(destination, ", ".join(taken)))
    made = not destination.exists()
    folder = destination / f".{uuid.uuid4().hex}.partial"
    try:
        folder.mkdir(parents=True)
        yield folder
        sync_tree(folder)
        _move_all(folder, destination, names)
    except OSError as exc:
        raise ExchangeError(
            f"{destination}: cannot be written ({exc.strerror or exc}); free some space or choose "
            "another folder"
        ) from exc
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if made:
            # It stays where another export has put files into it, and where it is not there.
            with suppress(OSError):
                destination.rmdir()


def _taken(destination: Path, names: str) -> str:
    return f"{destination}: holds {names} already; name another folder, or move them"


def _move_all(folder: Path, destination: Path, names: Sequence[str]) -> None:
    """Move all files, or none."""
    moved: list[Path] = []
    try:
        for name in names:
            try:
                move_new(folder / name, destination / name)
            except FileExistsError as exc:
                raise ExchangeError(
                    f"{_taken(destination, name)} (another program wrote it meanwhile; nothing of "
                    "this export is left there)"
                ) from exc
            moved.append(destination / name)
    except BaseException:
        for path in moved:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise
