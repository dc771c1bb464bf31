"""Pictures: what PNG, BMP and JPEG hold, and what is refused."""

from __future__ import annotations

import io
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from annotations.errors import FormatError, LabelError, SpacingError
from annotations.formats import open_image, open_labels, pictures, read_labels
from annotations.formats.pictures import PICTURE
from tests.annotations.formats.contract import FormatContract, Labels
from tests.annotations.formats.exchange_labels import blobs, compact

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 255, (6, 9, 3)).astype(np.uint8)
GREYS = COLOURS[..., 0]
SPACING = (1.0, 0.5, 0.5)


def save(
    path: Path, pixels: NDArray[np.generic], mode: str | None = None, **options: object
) -> Path:
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def read(path: Path) -> NDArray[np.generic]:
    with open_image(path, spacing_um=SPACING) as source:
        assert source.info.format == "picture"
        assert source.info.shape[0] == source.info.shape[2] == 1
        return source.read(0, 0, 1)[:, 0]


@pytest.mark.parametrize("ending", ["png", "bmp", "jpg", "JPEG"])
def test_colours_and_greys(tmp_path: Path, ending: str) -> None:
    exact = ending in ("png", "bmp")
    for pixels, count in ((COLOURS, 3), (GREYS, 1)):
        got = read(save(tmp_path / f"a.{ending}", pixels))
        assert got.dtype == np.uint8
        assert got.shape == (count, 6, 9)
        if exact:
            np.testing.assert_array_equal(got, np.atleast_3d(pixels).transpose(2, 0, 1))
    with open_image(save(tmp_path / f"b.{ending}", COLOURS), spacing_um=SPACING) as source:
        assert source.info.channels == ("R", "G", "B")


def test_16_bit_greys_stay_and_16_bit_colours_are_refused(tmp_path: Path) -> None:
    deep = (GREYS.astype(np.uint16) * 200)[..., np.newaxis]
    np.testing.assert_array_equal(read(save(tmp_path / "a.png", deep[..., 0]))[0], deep[..., 0])
    path = tmp_path / "b.png"
    path.write_bytes(png_of_16_bit_colours(deep.repeat(3, axis=2)))
    with pytest.raises(FormatError, match=r"b\.png: .*got colours of 16 bit; save it as TIFF"):
        open_image(path, spacing_um=SPACING)


def png_of_16_bit_colours(pixels: NDArray[np.uint16]) -> bytes:
    """PIL does not write these."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    out = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        check = struct.pack(">I", zlib.crc32(kind + data))
        out += struct.pack(">I", len(data)) + kind + data + check
    return out


def test_a_voxel_size_must_be_given(tmp_path: Path) -> None:
    """Dots per inch are those of a screen."""
    for name in ("a.png", "a.jpg", "a.bmp"):
        path = save(tmp_path / name, GREYS, dpi=(300, 300))
        with pytest.raises(SpacingError, match=r"a picture carries none\); .*--spacing-um"):
            open_image(path)


def test_black_and_white_is_shown_as_0_and_255(tmp_path: Path) -> None:
    for ending in ("png", "bmp"):
        path = save(tmp_path / f"a.{ending}", GREYS > 100)
        np.testing.assert_array_equal(read(path)[0], np.where(GREYS > 100, 255, 0))


def test_a_palette_is_for_labels_only(tmp_path: Path) -> None:
    numbers = (GREYS % 5).astype(np.uint8)
    picture = Image.fromarray(numbers, mode="P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png")[0], numbers)
    with pytest.raises(FormatError, match="numbers of colours in a palette; save it again in RGB"):
        open_image(tmp_path / "a.png", spacing_um=SPACING)
    picture.putpalette([i for grey in range(256) for i in (grey,) * 3])
    picture.save(tmp_path / "b.png")
    np.testing.assert_array_equal(read(tmp_path / "b.png")[0], numbers)


def test_transparency(tmp_path: Path) -> None:
    whole = np.dstack([COLOURS, np.full(GREYS.shape, 255, np.uint8)])
    np.testing.assert_array_equal(read(save(tmp_path / "a.png", whole)), COLOURS.transpose(2, 0, 1))
    whole[0, 0, 3] = 0
    with pytest.raises(FormatError, match="alpha channel that differs"):
        read(save(tmp_path / "b.png", whole))


def test_labels_in_a_picture(tmp_path: Path) -> None:
    grey = np.dstack([GREYS] * 3)
    np.testing.assert_array_equal(read_labels(save(tmp_path / "a.png", grey))[0], GREYS)
    with pytest.raises(LabelError, match="got colours"):
        read_labels(save(tmp_path / "b.png", COLOURS))
    jpeg = save(tmp_path / "c.jpg", GREYS)
    # Neither does another ending make labels of it.
    for path in (jpeg, Path(shutil.copy(jpeg, tmp_path / "d.png"))):
        with pytest.raises(LabelError, match=rf"{path.name}: .*compressed with loss.*PNG or TIFF"):
            open_labels(path)


@pytest.mark.parametrize("ending", ["png", "bmp", "jpg"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_truncated(tmp_path: Path, ending: str, share: float) -> None:
    noise = RNG.integers(0, 255, (60, 70, 3)).astype(np.uint8)
    path = save(tmp_path / f"a.{ending}", noise)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(
        FormatError, match=rf"a\.{ending}: .*save it again as PNG or TIFF"
    ) as caught:
        open_image(path, spacing_um=SPACING)
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_in_a_png(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", COLOURS)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(FormatError, match="cannot be read"):
        open_image(path, spacing_um=SPACING)


def test_a_picture_that_claims_to_be_huge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png", GREYS)
    claimed = bytearray(path.read_bytes())
    claimed[16:24] = struct.pack(">II", 60_000, 60_000)
    claimed[29:33] = struct.pack(">I", zlib.crc32(bytes(claimed[12:29])))
    path.write_bytes(claimed)
    with pytest.raises(FormatError, match=r"a\.png: "):
        open_image(path, spacing_um=SPACING)
    # Other packages take PIL's own limit away.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(FormatError, match=r"claims to be 60000 x 60000 pixels.*save it as TIFF"):
        open_image(path, spacing_um=SPACING)
    monkeypatch.setattr(pictures, "LARGEST_PIXELS", 53)
    with pytest.raises(FormatError, match="more than a picture may have"):
        open_image(save(tmp_path / "b.bmp", GREYS), spacing_um=SPACING)


def test_other_kinds_under_a_pictures_name(tmp_path: Path) -> None:
    """Parsers of other formats are not tried."""
    data = io.BytesIO()
    Image.fromarray(GREYS).save(data, format="GIF")
    (tmp_path / "a.png").write_bytes(data.getvalue())
    with pytest.raises(FormatError, match="cannot identify"):
        open_image(tmp_path / "a.png", spacing_um=SPACING)
    Image.fromarray(COLOURS).convert("CMYK").save(tmp_path / "b.jpg")
    with pytest.raises(FormatError, match="got CMYK; save it as TIFF"):
        open_image(tmp_path / "b.jpg", spacing_um=SPACING)


def test_animated_and_turned_pictures(tmp_path: Path) -> None:
    frames = [Image.fromarray(GREYS), Image.fromarray(255 - GREYS)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(FormatError, match="got an animation; save the time series as TIFF"):
        open_image(tmp_path / "a.png", spacing_um=SPACING)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOURS).save(tmp_path / "b.jpg", exif=exif)
    with pytest.raises(FormatError, match=r"EXIF orientation 6\).*turn it upright"):
        open_image(tmp_path / "b.jpg", spacing_um=SPACING)


class TestContract(FormatContract):
    format = PICTURE
    file_name = "stack.png"
    spacing_um = None

    def labels(self) -> Labels:
        """One slice of 8 or 16 bits."""
        return compact(blobs())[1:2]

    def save(self, path: Path, labels: Labels, times: int = 1) -> None:
        Image.fromarray(labels[0].astype(np.uint8)).save(path)
