"""TIFF in, page by page."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC

from annotations.errors import FormatError
from annotations.formats.format import Header, RawVoxels, translated
from annotations.formats.ome_xml import OmeXml
from annotations.formats.tiff_metadata import calibration, frame_interval
from annotations.formats.tiff_structure import check_data_extent, check_shared, open_whole
from labels.numbers import number_of

_ADVICE = "open it in Fiji and save it again as TIFF"
_UNSTATED = {"uniform", "generic"}
_JPEG = {COMPRESSION.OJPEG, COMPRESSION.JPEG, COMPRESSION.JPEG_LOSSY}
_ALPHA = {EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA}


class TiffVoxels(RawVoxels):
    """An open TIFF, read page by page.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FormatError
        Not a TIFF, truncated, of several images, or with pages that are missing.
    """

    def __init__(self, path: Path) -> None:
        with translated(path, _ADVICE):
            self._tif = open_whole(path)
            try:
                xml = self._tif.ome_metadata
                ome = OmeXml(path, xml, len(self._tif.pages)) if xml is not None else None
                for part in ome.parts if ome is not None else ():
                    with translated(part, _ADVICE):
                        open_whole(part).close()
                self._series = _only_series(path, self._tif)
                self._pages = list(self._series.pages)
                self._check_pages(path)
                super().__init__(path, _header(path, self._tif, self._series, ome))
            except BaseException:
                self._tif.close()
                raise

    def _check_pages(self, path: Path) -> None:
        """Refuse a file that lacks voxels, before any is read."""
        shape = tuple(self._series.shape)
        if any(page is None for page in self._pages):
            raise FormatError(
                f"{path}: planes named in its OME-XML are missing; put all files of the data set "
                "in one folder, or export it again"
            )
        # A page holds one plane, or its colour samples too.
        plane = tuple(self._pages[0].shape)
        self._leading = shape[: len(shape) - len(plane)]
        expected = math.prod(self._leading)
        self._contiguous = len(self._pages) == 1 and expected > 1
        if self._contiguous:
            self._check_contiguous(path)
            return
        if len(self._pages) != expected or plane != shape[len(self._leading) :]:
            raise FormatError(
                f"{path}: expected {number_of(expected, 'plane')} for its shape {shape}, got "
                f"{len(self._pages)} of {plane}; {_ADVICE}"
            )
        for i, page in enumerate(self._pages):
            bits = page.keyframe.bitspersample
            if page.keyframe.dtype is None or not isinstance(bits, int):
                raise FormatError(
                    f"{path}: expected whole numbers or floats of one size, got {bits} bits in "
                    f"page {i}; {_ADVICE}"
                )
            raw = page.keyframe.nbytes if page.keyframe.compression == 1 else None
            if raw is None and len(page.dataoffsets) < math.prod(page.keyframe.chunked):
                parts = math.prod(page.keyframe.chunked)
                raise FormatError(
                    f"{path}: is truncated: page {i} has {len(page.dataoffsets)} of its "
                    f"{number_of(parts, 'strip or tile', 'strips or tiles')}; copy or export it "
                    "again from the original"
                )
            check_data_extent(
                path,
                i,
                page.dataoffsets,
                page.databytecounts,
                page.parent.filehandle.size,
                raw if raw is not None and bits % 8 == 0 else None,
            )
        files = {str(page.parent.filehandle.path): page.parent.filehandle for page in self._pages}
        check_shared(
            path,
            sum(file.size for file in files.values()),
            sum(sum(page.databytecounts) for page in self._pages),
        )

    def _check_contiguous(self, path: Path) -> None:
        """All planes behind the first page's offset, as ImageJ writes beyond 4 GB."""
        start, needed = self._series.dataoffset, self._series.nbytes
        if start is None:
            raise FormatError(f"{path}: holds several planes in one page; {_ADVICE}")
        size = self._tif.filehandle.size
        check_data_extent(path, 0, (start,), (needed,), size, needed)

    def cut(self, index: tuple[slice, ...]) -> NDArray[Any]:
        """Decode the pages of `index`."""
        with translated(self.path, _ADVICE):
            if self._contiguous:
                return self._cut_contiguous(index)
            return self._cut_pages(index)

    def _cut_contiguous(self, index: tuple[slice, ...]) -> NDArray[Any]:
        mapped: NDArray[Any] = np.memmap(
            self.path,
            dtype=self._series.dtype.newbyteorder(self._tif.byteorder),
            mode="r",
            offset=self._series.dataoffset,
            shape=self.header.shape,
        )
        return np.array(mapped[index])

    def _cut_pages(self, index: tuple[slice, ...]) -> NDArray[Any]:
        leading, plane = self._leading, self.header.shape[len(self._leading) :]
        ranges = [range(n)[cut] for n, cut in zip(leading, index, strict=False)]
        planes = []
        for position in itertools.product(*ranges):
            page = self._pages[_flat(position, leading)]
            planes.append(_plane(page).reshape(plane)[index[len(leading) :]])
        return np.stack(planes).reshape(*map(len, ranges), *planes[0].shape)

    def close(self) -> None:
        """Close the file, and the others of a data set in several files."""
        self._tif.close()


def _plane(page: Any) -> NDArray[Any]:
    """Decode a page, which may lie in another, closed, file of the same data set."""
    handle = page.parent.filehandle
    was_closed = handle.closed
    if was_closed:
        handle.open()
    try:
        return np.asarray(page.asarray())
    finally:
        if was_closed:
            handle.close()


def _flat(position: Sequence[int], shape: Sequence[int]) -> int:
    flat = 0
    for i, size in zip(position, shape, strict=True):
        flat = flat * size + i
    return flat


def _only_series(path: Path, tif: tifffile.TiffFile) -> Any:
    series = tif.series
    if len(series) != 1:
        raise FormatError(
            f"{path}: expected one image, got {len(series)} of different kinds or positions; save "
            "the one to use in a file of its own"
        )
    if tif.is_imagej and series[0].kind != "imagej":
        raise FormatError(
            f"{path}: is truncated or corrupt: it does not hold the planes that its ImageJ "
            "metadata states; copy or export it again from the original"
        )
    return series[0]


def _header(path: Path, tif: tifffile.TiffFile, series: Any, ome: OmeXml | None) -> Header:
    tags = {
        name: tif.pages.first.tags[name].value
        for name in ("XResolution", "YResolution", "ResolutionUnit")
        if name in tif.pages.first.tags
    }
    axes = _axes(path, series)
    head = Header(tuple(series.shape), np.dtype(series.dtype), axes, spacing_hint="plain TIFF")
    if ome is not None and series.kind == "ome":
        return replace(
            head,
            spacing_um=ome.spacing_um,
            channels=ome.channels,
            spacing_hint="its OME-XML has none",
            time_step_s=ome.time_step_s,
        )
    description: dict[str, Any] | None = None
    if series.kind == "imagej":
        description = tif.imagej_metadata or {}
    elif series.kind == "shaped" and tif.shaped_metadata:
        description = dict(tif.shaped_metadata[0])
    if description is None:
        return head
    spacing, hint = calibration(description, tags)
    return replace(
        head, spacing_um=spacing, spacing_hint=hint, time_step_s=frame_interval(description)
    )


def _axes(path: Path, series: Any) -> str | None:
    """Axes as the file states them; samples of a page that are no colours are channels."""
    page = series.pages[0].keyframe
    axes: str = series.axes
    if "S" in axes:
        colours = page.photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR)
        if page.photometric == PHOTOMETRIC.YCBCR and page.compression not in _JPEG:
            raise FormatError(f"{path}: its colours are coded as YCbCr; {_ADVICE}")
        if not colours and page.photometric != PHOTOMETRIC.MINISBLACK:
            kind = getattr(page.photometric, "name", page.photometric)
            raise FormatError(
                f"{path}: expected colours in RGB, got {kind}; save it again in "
                "RGB (Fiji: Image > Type > RGB Color)"
            )
        if not colours and not _ALPHA & set(page.extrasamples):
            axes = axes.replace("S", "C")
    stated = len(series.shape) == len(page.shape)
    return axes if stated or series.kind not in _UNSTATED else None
