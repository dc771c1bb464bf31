"""Fields to send to other tools, how each tool reads and saves their labels, and what is edited."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray
from PIL import Image

from annotations.fields import ClassInfo
from annotations.formats import write_labels_tiff
from annotations.formats.coded import encode
from annotations.formats.field_labels import read_field_labels
from annotations.formats.format import Expected, recognise
from annotations.formats.registry import FORMATS, export_formats
from annotations.formats.roi_sets import write_rois
from hitl.project.config import ProjectConfig
from hitl.project.folder import Project
from tests.annotations.formats.exchange_labels import save_labkit
from tests.annotations.formats.nd2_file import write_nd2
from tests.annotations.store_sources import SPACING_UM, ArraySource, by_model, noise, proposed

Labels = NDArray[np.uint32]

IDS = (3, 4, 9, 11, 20, 21, 30, 70)
"""Of the objects at the first time point, in the order of their places."""

ZYX, FLAT = (6, 24, 40), (1, 24, 40)
SHAPES = {
    "stack": (1, *ZYX),
    "flat": (1, *FLAT),
    "classes:golgi": (1, *ZYX),
    "classes:nuclei": (1, *ZYX),
    "series": (2, *ZYX),
}
"""Labels (T, Z, Y, X) by their address."""

ALONE = ("stack", "flat", "classes:golgi", "series")
"""One of each kind."""


def start(address: str) -> Labels:
    """Boxes in two rows; at a second time point half of them are there still, the others anew."""
    labels = np.zeros(SHAPES[address], np.uint32)
    for time, planes in enumerate(labels):
        depth = slice(1, 4) if len(planes) > 1 else slice(0, 1)
        for place, one in enumerate(IDS):
            y, x = 2 + 12 * (place // 4), 1 + 10 * (place % 4)
            planes[depth, y : y + 6, x : x + 6] = one + 100 * (time and place % 2)
    return labels


def make_project(folder: Path) -> Path:
    """A project with all fields and a model's proposals for them."""
    project = Project.create(folder, ProjectConfig())
    store = project.store(read_only=False)
    for seed, name in enumerate(sorted({address.partition(":")[0] for address in SHAPES})):
        named = [a.partition(":")[2] or "cells" for a in SHAPES if a.partition(":")[0] == name]
        (times, *zyx) = next(shape for a, shape in SHAPES.items() if a.startswith(name))
        image = noise((times, 1, *zyx), seed=seed)  # type: ignore[arg-type]
        classes = tuple(ClassInfo(name=each) for each in named)
        store.add_field(name, ArraySource(image), classes=classes)
    with store.begin_round(by_model()) as round_:
        for address in SHAPES:
            labels = start(address)
            rows = proposed(np.unique(labels)[1:].tolist())
            round_.set_labels(address, labels.reshape(-1, *labels.shape[2:]), rows)
    return folder


# Tools -----------------------------------------------------------------------------------------


def load(file: Path, shape: tuple[int, ...], fmt: str) -> Labels:
    """Labels (T, Z, Y, X) as a tool has them once it has opened an export."""
    times, depth, height, width = shape
    known = Expected(shape=(depth, height, width), times=times, exported=True)
    found = read_field_labels(recognise(file, FORMATS, fmt), file, known)
    return found.labels.reshape(shape)


def _planes(labels: Labels) -> Labels:
    return labels.reshape(-1, *labels.shape[2:])


def _tiff(file: Path, labels: Labels) -> None:
    write_labels_tiff(file, _planes(labels), SPACING_UM, times=len(labels), overwrite=True)


def _labkit(file: Path, labels: Labels) -> None:
    save_labkit(file, _planes(labels), len(labels))


def _cellpose(file: Path, labels: Labels) -> None:
    """The GUI numbers masks without gaps, and saves those of a 2D image as one."""
    state = np.load(file, allow_pickle=True).item()
    masks = np.unique(labels[0], return_inverse=True)[1].reshape(labels.shape[1:])
    state["masks"] = (masks[0] if len(masks) == 1 else masks).astype(np.uint16)
    np.save(file, np.array(state, object), allow_pickle=True)


def _rois(file: Path, labels: Labels) -> None:
    file.unlink()
    write_rois(file, labels[0])


def _ome_zarr(file: Path, labels: Labels) -> None:
    array = zarr.open_group(file / "labels" / "objects", mode="r+")["0"]
    array[...] = labels.reshape(array.shape)  # type: ignore[union-attr, index]


def _coded(file: Path, labels: Labels) -> None:
    _tiff(file, encode(labels[0])[None])


def _npy(file: Path, labels: Labels) -> None:
    """As ``numpy.save`` of what napari shows."""
    np.save(file, labels[tuple(0 if size == 1 else slice(None) for size in labels.shape[:2])])


def _picture(file: Path, labels: Labels) -> None:
    Image.fromarray(labels[0, 0].astype(np.uint16)).save(file)


def _nd2(file: Path, labels: Labels) -> None:
    frames = _planes(labels)[..., np.newaxis].astype(np.uint16)
    write_nd2(file, frames, z_step_um=2.0, pixel_um=0.5, times=len(labels), channels=("labels",))


SAVE: dict[str, Callable[[Path, Labels], None]] = {
    "tiff": _tiff,
    "labkit": _labkit,
    "cellpose": _cellpose,
    "rois": _rois,
    "ome-zarr": _ome_zarr,
    "coded": _coded,
    "npy": _npy,
    "picture": _picture,
    "nd2": _nd2,
}

SAVED_AS = {"npy": "saved.npy", "picture": "saved.png", "nd2": "saved.nd2"}
"""Formats without an export: a tool saves them beside one of TIFF."""


def holds(fmt: str, address: str) -> bool:
    """Whether a format has room for the labels of a field."""
    times, depth, *_ = SHAPES[address]
    if fmt == "picture":
        return times == depth == 1
    found = next(each for each in FORMATS if each.name == fmt)
    return times == 1 or found.holds_times or fmt in ("npy", "nd2")


def exported_as(fmt: str) -> str:
    return fmt if fmt in export_formats() else "tiff"


# Edits -----------------------------------------------------------------------------------------


def first_edit(labels: Labels, new: int) -> Labels:
    """Delete the second object, grow the third, split the fourth, `new` being its smaller part."""
    out, one = labels.copy(), labels[0]
    ids = _at_places(one)
    out[0][one == ids[1]] = 0
    grown = np.zeros(one.shape, bool)
    grown[..., 1:] = one[..., :-1] == ids[2]
    out[0][grown & (one == 0)] = ids[2]
    part = (one == ids[3]) & (np.arange(one.shape[2]) >= np.argwhere(one == ids[3])[:, 2].max() - 1)
    out[0][part] = new
    # At the last of several time points something happens too.
    if len(out) > 1:
        out[-1][out[-1] == _at_places(out[-1])[1]] = 0
    return out


def second_edit(labels: Labels, new: int) -> Labels:
    """Join the sixth object to the fifth, shrink the third, and draw another between the rows."""
    out, one = labels.copy(), labels[0]
    ids = {place: int(one[(slice(None), *_corner(place))].max()) for place in (2, 4, 5)}
    out[0][one == ids[5]] = ids[4]
    z, y, _ = np.argwhere(one == ids[2]).T
    out[0][z.min(), y.min()][one[z.min(), y.min()] == ids[2]] = 0
    out[0][:2, 9:12, 2:9] = new
    return out


def by_others(labels: Labels, new: int | None) -> Labels:
    """What somebody else does: delete the eighth object, grow the seventh, draw another."""
    out, one = labels.copy(), labels[0]
    seventh, eighth = (int(one[(slice(None), *_corner(place))].max()) for place in (6, 7))
    out[0][one == eighth] = 0
    grown = np.zeros(one.shape, bool)
    grown[:, 1:] = one[:, :-1] == seventh
    out[0][grown & (one == 0)] = seventh
    if new:
        out[0][-1:, 9:12, 20:28] = new
    return out


def _corner(place: int) -> tuple[slice, slice]:
    y, x = 2 + 12 * (place // 4), 1 + 10 * (place % 4)
    return slice(y, y + 1), slice(x, x + 1)


def _at_places(planes: Labels) -> list[int]:
    return [int(planes[(slice(None), *_corner(place))].max()) for place in range(len(IDS))]
