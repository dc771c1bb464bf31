"""Nikon ND2, through the optional package ``nd2``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotations.errors import AxesError, FormatError
from annotations.formats.format import Format, Header, RawVoxels, translated

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ADVICE = "open it in NIS-Elements or Fiji and save the image as OME-TIFF"
_FRAME = "CYXS"


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
            self._file = nd2.ND2File(path)
            try:
                super().__init__(path, _header(path, self._file))
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


def _header(path: Path, file: Any) -> Header:
    import numpy as np

    if file.is_legacy:
        raise FormatError(f"{path}: is an ND2 file of before 2010 (JPEG 2000); {_ADVICE}")
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
