"""TIFF: ImageJ hyperstacks, OME-TIFF, and plain files whose axes the user states."""

from __future__ import annotations

from pathlib import Path

from annotations.formats.format import Content, Format, RawVoxels


def _open(path: Path) -> RawVoxels:
    from annotations.formats.tiff_read import TiffVoxels

    return TiffVoxels(path)


def write(path: Path, content: Content) -> None:
    """Write labels as TIFF."""
    from annotations.formats.tiff_write import write_labels_tiff

    write_labels_tiff(
        path,
        content.labels,
        content.spacing_um,
        times=content.times,
        time_step_s=content.time_step_s,
    )


TIFF = Format(
    name="tiff",
    title="TIFF",
    suffixes=(".tif", ".tiff", ".btf"),
    tool="Fiji or napari",
    hint="open both in Fiji or napari, and save the changed labels as TIFF",
    export_name="{}_labels.tif",
    holds_times=True,
    open=_open,
    write=write,
)
