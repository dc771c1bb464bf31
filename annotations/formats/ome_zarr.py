"""OME-Zarr folders: an image, its labels, or both."""

from __future__ import annotations

from pathlib import Path

from annotations.formats.format import Content, Expected, Format, LabelsRead, RawVoxels


def _open(path: Path) -> RawVoxels:
    from annotations.formats.ome_zarr_read import OmeZarrVoxels

    return OmeZarrVoxels(path)


def _read(path: Path, expected: Expected) -> LabelsRead:
    """Read labels, or those inside an image that holds labels of one kind."""
    from annotations.formats import zarr_folder
    from annotations.formats.field_labels import read_voxels

    groups = [child for child in (path / "labels").glob("*") if child.is_dir()]
    file = zarr_folder.inside(path, groups[0]) if len(groups) == 1 else path
    return read_voxels(_open, file, expected)


def _write(path: Path, content: Content) -> None:
    from annotations.formats.ome_zarr_write import write_ome_zarr

    write_ome_zarr(
        path,
        content.image,
        content.labels,
        content.spacing_um,
        channels=content.channels,
        time_step_s=content.time_step_s,
        attributes=content.provenance,
    )


OME_ZARR = Format(
    name="ome-zarr",
    title="OME-Zarr",
    suffixes=(".zarr",),
    folder_marks=("zarr.json", ".zgroup", ".zarray", ".zattrs"),
    tool="napari",
    hint="open it in napari; change its labels in place, or save them as TIFF",
    export_name="{}.ome.zarr",
    holds_image=True,
    holds_times=True,
    open=_open,
    read=_read,
    write=_write,
)
