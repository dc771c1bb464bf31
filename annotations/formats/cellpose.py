"""``_seg.npy``, in which the Cellpose GUI keeps its masks."""

from __future__ import annotations

from pathlib import Path

from annotations.errors import LabelError
from annotations.formats.format import Content, Expected, Format, LabelsRead


def _read(path: Path, expected: Expected) -> LabelsRead:
    from annotations.formats.cellpose_seg import read_cellpose_seg

    masks = read_cellpose_seg(path)
    if len(masks) == 1 < expected.shape[0]:
        raise LabelError(
            f"{path}: expected masks of {expected.shape[0]} slices, got those of one; open the "
            "whole stack with `cellpose --Zstack`"
        )
    return LabelsRead(masks)


def _write(path: Path, content: Content) -> None:
    from annotations.formats.cellpose_seg import write_cellpose_seg
    from annotations.formats.planes import as_array

    CELLPOSE.check_times(path, content.times)
    labels = as_array(content.labels)[:]
    write_cellpose_seg(path, labels, content.image_file)


CELLPOSE = Format(
    name="cellpose",
    title="masks of the Cellpose GUI",
    suffixes=("_seg.npy",),
    tool="the Cellpose GUI",
    hint=(
        "open the image with `cellpose --Zstack`, a 2D image with `cellpose`; the GUI finds the "
        "masks and saves them"
    ),
    export_name="{}_seg.npy",
    read=_read,
    write=_write,
)
