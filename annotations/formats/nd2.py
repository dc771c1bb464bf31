"""Nikon ND2, through the optional package ``nd2``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotations.errors import AxesError, FormatError
from annotations.formats.format import Format, Header, RawVoxels, translated
from annotations.formats.nd2_structure import Chunk, check_frames, read_frames
from labels.numbers import number_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ADVICE = "open it in NIS-Elements or Fiji and save the image as OME-TIFF"
_FRAME = "CYXS"
_JPEG_2000 = b"\0\0\0\x0cjP  "
_BEFORE_VOXELS = 8
"""Bytes of a frame's time, which stand before its voxels."""


class Nd2Voxels(RawVoxels):
    """An open .nd2 file, read frame by frame.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FormatError
        Not an ND2 file, or the package ``nd2`` is not installed.
    AxesError
        Several stage positions.
    """

    def __init__(self, path: Path) -> None:
        try:
            import nd2
        except ImportError as exc:
            raise FormatError(
                f"{path}: reading ND2 needs an optional package; pip install hitl-nuclei[nd2]"
            ) from exc
        with translated(path, _ADVICE):
            _refuse_legacy(path)
            frames = read_frames(path)
            self._file = nd2.ND2File(path)
            try:
                header = _header(path, self._file)
                _check_whole(path, self._file, header, frames)
                super().__init__(path, header)
            except BaseException:
                self._file.close()
                raise

    def cut(self, index: tuple[slice, ...]) -> NDArray[Any]:
        """Read the frames of `index`; a frame holds all channels of one slice."""
        import numpy as np

        loops = sum(axis not in _FRAME for axis in self.header.axes or "")
        counts, plane = self.header.shape[:loops], self.header.shape[loops:]
        ranges = [range(n)[cut] for n, cut in zip(counts, index, strict=False)]
        # ND2 keeps colours as blue, green, red, which the package nd2 gives as they are.
        colours = (slice(None, None, -1),) if "S" in (self.header.axes or "") else ()
        frames = []
        with translated(self.path, _ADVICE):
            for place in itertools.product(*ranges):
                number = int(np.ravel_multi_index(place, counts)) if place else 0
                frame = np.array(self._file.read_frame(number)).reshape(plane)
                frames.append(frame[(..., *colours)][index[loops:]])
        return np.stack(frames).reshape(*map(len, ranges), *frames[0].shape)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _refuse_legacy(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(len(_JPEG_2000)) == _JPEG_2000:
            raise FormatError(f"{path}: is an ND2 file of before 2010 (JPEG 2000); {_ADVICE}")


def _check_whole(path: Path, file: Any, header: Header, frames: Mapping[int, Chunk]) -> None:
    """Compare what is stated of the frames with each other and with what is there."""
    stated = file.attributes
    sizes = dict(zip(header.axes or "", header.shape, strict=True))
    wanted = sizes.get("T", 1) * sizes.get("Z", 1)
    if wanted != stated.sequenceCount:
        raise FormatError(
            f"{path}: states {number_of(stated.sequenceCount, 'frame')}, and {wanted} in time "
            f"points and slices; {_ADVICE}"
        )
    row = sizes["X"] * stated.componentCount * header.dtype.itemsize
    if not 0 < row <= (stated.widthBytes or 0):
        raise FormatError(
            f"{path}: states rows of {stated.widthBytes or 0:,} bytes, which need {row:,}; "
            f"{_ADVICE}"
        )
    packed = stated.compressionType == "lossless"
    most = _BEFORE_VOXELS + (sizes["Y"] - 1) * stated.widthBytes + row
    check_frames(path, frames, wanted, 0 if packed else most)


def _header(path: Path, file: Any) -> Header:
    import numpy as np

    sizes: Mapping[str, int] = file.sizes
    if sizes.get("P", 1) > 1:
        raise AxesError(
            f"{path}: expected one field of view, got {sizes['P']} stage positions; split it into "
            "one file each (NIS-Elements: File > Split Multipoint or Export)"
        )
    foreign = set(sizes) - set("PTZ" + _FRAME)
    if foreign or file.components_per_channel not in (1, 3):
        raise AxesError(
            f"{path}: expected axes T, C, Z, Y, X, or colours in RGB, got {dict(sizes)}; {_ADVICE}"
        )
    channels = file.metadata.channels or []
    spacing: dict[str, float] = {}
    if channels:
        volume = channels[0].volume
        known = zip("XYZ", volume.axesCalibrated, volume.axesCalibration, strict=True)
        spacing = {axis: float(um) for axis, calibrated, um in known if calibrated}
    # The loops are nested in the order of the sizes, from the outermost.
    axes = "".join(axis for axis in sizes if axis in "TZ") + "CYX" + "S" * ("S" in sizes)
    return Header(
        shape=tuple(sizes.get(axis, 1) for axis in axes),
        dtype=np.dtype(file.dtype),
        axes=axes,
        spacing_um=spacing,
        channels=tuple(channel.channel.name for channel in channels),
        spacing_hint="it is not calibrated",
        time_step_s=_time_step(file.experiment),
    )


def _time_step(experiment: list[Any]) -> float | None:
    """Seconds between time points, where the experiment has one period for all of them."""
    for loop in experiment:
        if loop.type == "TimeLoop":
            measured = loop.parameters.periodDiff
            period = measured.avg if measured is not None and measured.avg else None
            return (period or float(loop.parameters.periodMs)) / 1000
    return None


ND2 = Format(name="nd2", title="Nikon ND2", suffixes=(".nd2",), open=Nd2Voxels)
