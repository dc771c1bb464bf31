"""The formats: one line each."""

from __future__ import annotations

from annotations.formats.cellpose import CELLPOSE
from annotations.formats.coded import CODED
from annotations.formats.format import Format
from annotations.formats.labkit import LABKIT
from annotations.formats.nd2 import ND2
from annotations.formats.npy import NPY
from annotations.formats.ome_zarr import OME_ZARR
from annotations.formats.pictures import PICTURE
from annotations.formats.rois import ROIS
from annotations.formats.tiff import TIFF

FORMATS: list[Format] = [
    TIFF,
    LABKIT,
    NPY,
    ND2,
    PICTURE,
    OME_ZARR,
    CODED,
    CELLPOSE,
    ROIS,
]
"""Particular formats stand after the general ones: the last that recognises a file is its own."""


def image_formats() -> list[Format]:
    """Return the formats of which images, and labels in plain voxels, are opened."""
    return [found for found in FORMATS if found.open is not None]


def export_formats() -> dict[str, Format]:
    """Return the formats in which labels are exported, by name."""
    return {found.name: found for found in FORMATS if found.write is not None}
