"""ImageJ ROI sets, as Fiji's ROI Manager keeps them."""

from __future__ import annotations

from pathlib import Path

from annotations.formats.format import Content, Expected, Format, LabelsRead


def _read(path: Path, expected: Expected) -> LabelsRead:
    from annotations.formats.roi_sets import read_rois

    return read_rois(path, expected.shape)


def _write(path: Path, content: Content) -> None:
    from annotations.formats.planes import as_array
    from annotations.formats.roi_sets import write_rois

    ROIS.check_times(path, content.times)
    write_rois(path, as_array(content.labels))


ROIS = Format(
    name="rois",
    title="ImageJ ROIs",
    suffixes=(".zip", ".roi"),
    tool="the ROI Manager of ImageJ or Fiji",
    hint="open the image in Fiji, then the set in its ROI Manager, and save it from there",
    export_name="{}_rois.zip",
    read=_read,
    write=_write,
)
