"""The files of one export: which they are, and how they come to be, all or none."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fastremap
import numpy as np

from annotations.formats import write_image_tiff
from annotations.formats.format import Content, Format
from annotations.formats.registry import FORMATS
from annotations.stacks import StackView
from hitl.labelling.exchange.errors import ExchangeError
from hitl.project.reporter import Reporter
from labels.files import replace_durably, sync_tree


def file_names(stack: str, fmt: Format) -> tuple[str, ...]:
    """Return the names of the files of an export, that of the labels last."""
    labels = fmt.export_name.format(stack)
    return (labels,) if fmt.holds_image else (f"{stack}.tif", labels)


def write_files(
    view: StackView,
    fmt: Format,
    folder: Path,
    destination: Path,
    provenance: Mapping[str, Any],
    reporter: Reporter,
) -> tuple[int, ...]:
    """Write the files of an export into a folder.

    Parameters
    ----------
    view : StackView
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
    image_name, labels_name = f"{info.name}.tif", fmt.export_name.format(info.name)
    reporter.progress(0, 2, f"{info.name}: image")
    if not fmt.holds_image:
        write_image_tiff(folder / image_name, _Channel(view), info.spacing_um)
    reporter.progress(1, 2, f"{info.name}: labels")
    content = Content(
        labels=np.asarray(view.labels[...], np.uint32),
        spacing_um=info.spacing_um,
        image=view.image,
        channels=info.channels,
        image_file=(destination / image_name).resolve(),
        provenance=provenance,
    )
    fmt.write(folder / labels_name, content)
    reporter.progress(2, 2, f"{info.name}: labels")
    ids = fastremap.unique(content.labels)
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
    suffixes = (".json", *(suffix for fmt in FORMATS for suffix in fmt.suffixes))
    if destination.name.lower().endswith(suffixes) or destination.is_file():
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
        sync_tree(folder)
        _move_in(folder, destination, names)
    except FileExistsError as exc:
        # Another export into the same folder was faster.
        raise ExchangeError(
            f"{destination}: holds {Path(exc.filename).name} already; name another folder"
        ) from exc
    except OSError as exc:
        raise ExchangeError(
            f"{destination}: cannot be written ({exc.strerror or exc}); free some space or choose "
            "another folder"
        ) from exc
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if made and destination.is_dir() and not any(destination.iterdir()):
            destination.rmdir()


def _move_in(folder: Path, destination: Path, names: Sequence[str]) -> None:
    """Move files and folders into a folder, all of them or none; what is there is never replaced.

    Raises
    ------
    FileExistsError
        One is there already.
    """
    claimed: list[Path] = []
    try:
        for name in names:
            place = destination / name
            # Renaming would replace it; making it tells whether it is there, and is ours alone.
            place.mkdir() if (folder / name).is_dir() else place.touch(exist_ok=False)
            claimed.append(place)
            replace_durably(folder / name, place)
    except OSError:
        for place in claimed:
            shutil.rmtree(place) if place.is_dir() else place.unlink()
        raise
