"""A project to export from, and what each tool reads and saves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from annotations.formats import (
    read_labels,
    write_image_tiff,
    write_labels_tiff,
)
from annotations.formats.cellpose_seg import read_cellpose_seg
from annotations.formats.coded import decode, encode
from annotations.formats.registry import export_formats
from annotations.formats.roi_sets import read_rois, write_rois
from hitl.labelling.add import add_field
from hitl.labelling.exchange.export import Exported, export
from hitl.labelling.exchange.importing import Imported, import_labels
from hitl.labelling.requests import AddRequest, BootstrapRequest, ImportRequest
from hitl.project.config import ProjectConfig
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from tests.annotations.formats.exchange_labels import save_labkit

FORMATS = tuple(export_formats())
SPACING_UM = (2.0, 0.5, 0.5)
Labels = NDArray[np.uint32]


def balls(seed: int = 0) -> tuple[NDArray[np.uint16], Labels]:
    """Eight nuclei of about 9 × 17 × 17 voxels, in two rows of neighbours."""
    z, y, x = np.mgrid[:14, :48, :88]
    image = np.random.default_rng(seed).normal(100, 5, z.shape)
    labels = np.zeros(z.shape, np.uint32)
    for number in range(8):
        cy, cx = 12 + 22 * (number // 4), 12 + 21 * (number % 4)
        inside = ((z - 6.5) / 2.2) ** 2 + ((y - cy) / 8.5) ** 2 + ((x - cx) / 8.5) ** 2 < 1
        image[inside] += 400
        labels[inside] = number + 1
    return image.astype(np.uint16), labels


def new_project(folder: Path, image: NDArray[Any], spacing_um: tuple[float, ...]) -> Project:
    """A project with one field and its bootstrapped labels."""
    from hitl.labelling.bootstrap import bootstrap

    write_image_tiff(folder / "cells.tif", image, spacing_um)
    project = Project.create(folder / "project", ProjectConfig())
    add_field(project, AddRequest(images=(folder / "cells.tif",)), Silent())
    bootstrap(project, BootstrapRequest(segmenter="classical"), Silent())
    return project


def stored(project: Project, round: int | None = None) -> Labels:
    return np.asarray(project.store().labels("cells", round).labels[...], np.uint32)


def send(project: Project, folder: Path, fmt: str, round: int | None = None) -> Exported:
    return export(project, "cells", folder, fmt, round, Silent())


def fetch(project: Project, file: Path | str, **options: Any) -> Imported:
    reporter = options.pop("reporter", Silent())
    options = {"field": "cells", "annotator": "ann", "minutes": 3.0} | options
    return import_labels(project, ImportRequest(file=Path(file), **options), reporter)


def load_tiff(file: Path) -> Labels:
    return read_labels(file)


def save_tiff(file: Path, labels: Labels) -> None:
    write_labels_tiff(file, labels, SPACING_UM, overwrite=True)


def save_cellpose(file: Path, labels: Labels) -> None:
    """The GUI numbers masks without gaps."""
    state = np.load(file, allow_pickle=True).item()
    masks = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    state["masks"] = masks.astype(np.uint16)
    np.save(file, np.array(state, object), allow_pickle=True)


def save_rois(file: Path, labels: Labels) -> None:
    file.unlink()
    write_rois(file, labels)


def save_zarr(file: Path, labels: Labels) -> None:
    zarr.open_group(file / "labels" / "objects", mode="r+")["0"][...] = labels


def save_coded(file: Path, labels: Labels) -> None:
    save_tiff(file, encode(labels))


LOAD: dict[str, Callable[[Path, tuple[int, ...]], Labels]] = {
    "tiff": lambda file, shape: read_labels(file),
    "labkit": lambda file, shape: read_labels(file),
    "cellpose": lambda file, shape: read_cellpose_seg(file),
    "rois": lambda file, shape: read_rois(file, shape).labels,
    "ome-zarr": lambda file, shape: read_labels(file / "labels" / "objects"),
    "coded": lambda file, shape: decode(read_labels(file)),
}
SAVE = {
    "tiff": save_tiff,
    "labkit": save_labkit,
    "cellpose": save_cellpose,
    "rois": save_rois,
    "ome-zarr": save_zarr,
    "coded": save_coded,
}


def by_position(labels: Labels) -> list[int]:
    """Ids in the order of their first voxels."""
    ids, first = np.unique(labels, return_index=True)
    return [int(i) for i in ids[np.argsort(first)] if i]


def first_edit(labels: Labels) -> Labels:
    """Merge the first two objects, delete the third, add a slice's rim to the fourth."""
    out, (a, b, c, d) = labels.copy(), by_position(labels)[:4]
    out[labels == b] = a
    out[labels == c] = 0
    z = int(np.argwhere(labels == d)[:, 0].max())
    if z + 1 < len(labels):
        out[z + 1][(labels[z] == d) & (labels[z + 1] == 0)] = d
    return out


def second_edit(labels: Labels) -> Labels:
    """Split the last object along x, and add a box in the largest gap of the first slice."""
    out, last = labels.copy(), by_position(labels)[-1]
    x = np.argwhere(labels == last)[:, 2]
    right = (labels == last) & (np.arange(labels.shape[2]) > np.median(x))
    out[right] = labels.max() + 1
    for y, x0 in np.ndindex(labels.shape[1] - 3, labels.shape[2] - 3):
        if not labels[:2, y : y + 3, x0 : x0 + 3].any():
            out[:2, y : y + 3, x0 : x0 + 3] = labels.max() + 2
            return out
    raise AssertionError("the field is full")


def by_id(labels: Labels) -> list[int]:
    return [int(i) for i in np.unique(labels) if i]
