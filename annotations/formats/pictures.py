"""Pictures of one plane: PNG, BMP and JPEG, which hold neither a voxel size nor time.

A density that they may state (dots per inch) is that of a screen or printer, not of a microscope.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotations.errors import FormatError
from annotations.formats.format import Format, Header, RawVoxels, translated

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

KINDS = ("PNG", "BMP", "JPEG")
"""What is read, whatever the name of a file ends in; nothing else is tried."""

LARGEST_PIXELS = 178_956_970
"""A small file can claim any size, and is decoded whole; PIL, too, refuses more than this."""

PIXELS_PER_BYTE = 10_000
"""Deflate makes a thousand bytes of one at most, and a byte is eight pixels at most."""

_ADVICE = "open it in Fiji and save it again as PNG or TIFF"
_ORIENTATION = 0x0112
_AXES = {"1": "YX", "L": "YX", "P": "YX", "I;16": "YX", "I": "YX", "RGB": "YXS"}
_AXES |= {"LA": "YXS", "RGBA": "YXS"}
_PNG_DEPTH, _PNG_COLOUR = 24, 25


class PictureVoxels(RawVoxels):
    """A picture, decoded whole.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FormatError
        Not a picture, damaged, animated, to be shown turned, larger than any picture of a
        microscope, or of a kind that would lose what it holds.
    """

    def __init__(self, path: Path) -> None:
        with translated(path, _ADVICE):
            _check_whole(path)
            with _opened(path) as picture:
                _check_kind(path, picture)
                voxels, palette = _decoded(picture)
                lossy, axes = picture.format == "JPEG", _AXES[picture.mode]
        header = Header(
            voxels.shape,
            voxels.dtype,
            axes,
            spacing_hint="a picture carries none",
            lossy=lossy,
            palette=palette,
        )
        super().__init__(path, header)
        self._voxels: NDArray[Any] | None = voxels

    def cut(self, index: tuple[slice, ...]) -> NDArray[Any]:
        """Return a copy of the pixels of `index`."""
        assert self._voxels is not None, "cut after close"
        return self._voxels[index].copy()

    def close(self) -> None:
        """Drop the pixels."""
        self._voxels = None


def _opened(path: Path) -> Image:
    from PIL import Image

    with warnings.catch_warnings():
        # Sizes that may be an attack are judged by `_check_kind`, or refused by PIL itself.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path, formats=KINDS)


def _check_whole(path: Path) -> None:
    """Compare the checksums of a PNG, which decoding does not."""
    with _opened(path) as picture:
        picture.verify()


def _check_kind(path: Path, picture: Image) -> None:
    most = min(LARGEST_PIXELS, PIXELS_PER_BYTE * path.stat().st_size)
    if picture.width * picture.height > most:
        raise FormatError(
            f"{path}: claims to be {picture.width} x {picture.height} pixels, more than a "
            f"picture may have in a file of this size ({most}); copy it again, or save it as TIFF"
        )
    if getattr(picture, "is_animated", False):
        raise FormatError(
            f"{path}: expected one picture, got an animation; save the time series as TIFF"
        )
    if picture.mode not in _AXES or _is_narrowed(path, picture):
        raise FormatError(
            f"{path}: expected greys of 8 or 16 bit or RGB colours of 8 bit, got "
            f"{'colours of 16 bit' if picture.mode in _AXES else picture.mode}; save it as TIFF"
        )
    turned = picture.getexif().get(_ORIENTATION, 1)
    if turned != 1:
        raise FormatError(
            f"{path}: is to be shown turned (EXIF orientation {turned}), so that labels could not "
            "fit it; open it, turn it upright and save it again"
        )


def _is_narrowed(path: Path, picture: Image) -> bool:
    """Whether PIL would give 8 of the 16 bits of a PNG in colours or with transparency."""
    if picture.format != "PNG":
        return False
    with path.open("rb") as file:
        head = file.read(_PNG_COLOUR + 1)
    grey = 0
    return head[_PNG_DEPTH] == 16 and head[_PNG_COLOUR] != grey


def _decoded(picture: Image) -> tuple[NDArray[Any], bool]:
    """Return the pixels, and whether they are numbers of colours."""
    import numpy as np

    if picture.mode == "1":
        # Black and white, as viewers show it.
        return np.asarray(picture, np.uint8) * np.uint8(255), False
    if picture.mode == "P":
        return np.array(picture), not _is_grey_ramp(picture)
    voxels: NDArray[Any] = np.array(picture)
    return voxels.astype(np.uint16) if picture.mode == "I" else voxels, False


def _is_grey_ramp(picture: Image) -> bool:
    """Whether the colour of each number is the grey of this number."""
    import numpy as np

    colours = np.array(picture.getpalette("RGB"), np.int64).reshape(-1, 3)
    used: NDArray[np.int64] = np.flatnonzero(picture.histogram())
    return bool(used[-1] < len(colours) and (colours[used] == used[:, np.newaxis]).all())


PICTURE = Format(
    name="picture",
    title="pictures",
    suffixes=(".png", ".bmp", ".jpg", ".jpeg"),
    open=PictureVoxels,
)
