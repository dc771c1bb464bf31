"""``_seg.npy``, in which the Cellpose GUI keeps its masks."""

from __future__ import annotations

from pathlib import Path

from annotations.formats.format import Content, Expected, Format, LabelsRead


def _read(path: Path, expected: Expected) -> LabelsRead:
    from annotations.formats.cellpose_seg import read_cellpose_seg

    return LabelsRead(read_cellpose_seg(path))


def _write(path: Path, content: Content) -> None:
    from annotations.formats.cellpose_seg import write_cellpose_seg

    write_cellpose_seg(path, content.labels, content.image_file)


CELLPOSE = Format(
    name="cellpose",
    title="masks of the Cellpose GUI",
    suffixes=("_seg.npy",),
    tool="the Cellpose GUI",
    hint="open the image with `cellpose --Zstack`; the GUI finds the masks and saves them",
    export_name="{}_seg.npy",
    read=_read,
    write=_write,
)
