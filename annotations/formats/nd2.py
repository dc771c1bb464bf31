"""Nikon ND2, through the optional package ``nd2``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotations.errors import AxesError, FormatError
from annotations.formats.format import Format, Header, RawStack, translated

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ADVICE = "open it in NIS-Elements or Fiji and save the stack as OME-TIFF"


class Nd2Stack(RawStack):
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

        frame_shape = self.header.shape[1:]
        slices = range(self.header.shape[0])[index[0]]
        with translated(self.path, _ADVICE):
            frames = [
                np.array(self._file.read_frame(z)).reshape(frame_shape)[index[1:]] for z in slices
            ]
        return np.stack(frames)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _header(path: Path, file: Any) -> Header:
    import numpy as np

    if file.is_legacy:
        raise FormatError(f"{path}: is an ND2 file of before 2010 (JPEG 2000); {_ADVICE}")
    sizes: Mapping[str, int] = file.sizes
    for axis, what in (("P", "stage positions"), ("T", "time points"), ("S", "colour samples")):
        if sizes.get(axis, 1) > 1:
            raise AxesError(
                f"{path}: expected one 3D stack, got {sizes[axis]} {what}; split it into one file "
                "each (NIS-Elements: File > Split Multipoint or Export)"
            )
    foreign = set(sizes) - set("PTSZCYX")
    if foreign or sizes.get("Z", 1) < 2:
        raise AxesError(f"{path}: a 3D stack (Z, Y, X) is needed, got {dict(sizes)}; {_ADVICE}")
    channels = file.metadata.channels or []
    spacing: dict[str, float] = {}
    if channels:
        volume = channels[0].volume
        known = zip("XYZ", volume.axesCalibrated, volume.axesCalibration, strict=True)
        spacing = {axis: float(um) for axis, calibrated, um in known if calibrated}
    return Header(
        shape=(sizes["Z"], sizes.get("C", 1), sizes["Y"], sizes["X"]),
        dtype=np.dtype(file.dtype),
        axes="ZCYX",
        spacing_um=spacing,
        channels=tuple(channel.channel.name for channel in channels),
        spacing_hint="it is not calibrated",
    )


ND2 = Format(name="nd2", title="Nikon ND2", suffixes=(".nd2",), open=Nd2Stack)
