"""ND2 files whose chunks lie: sizes, counts and names of frames that are not there."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.annotations.formats.nd2_file import HEADER, MAGIC, write_nd2
from tests.annotations.store_sources import noise

pytest.importorskip("nd2")


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(whole: bytes) -> bytes:
        assert old in whole
        return whole.replace(old, new)

    return change


def number(name: str, value: int) -> Callable[[bytes], bytes]:
    """Change a whole number of the metadata, by its name."""
    key = (name + "\0").encode("utf-16-le")

    def change(whole: bytes) -> bytes:
        at = whole.index(key) + len(key)
        return whole[:at] + struct.pack("<I", value) + whole[at + 4 :]

    return change


def real(name: str, value: float) -> Callable[[bytes], bytes]:
    key = (name + "\0").encode("utf-16-le")

    def change(whole: bytes) -> bytes:
        at = whole.index(key) + len(key)
        return whole[:at] + struct.pack("<d", value) + whole[at + 8 :]

    return change


def at_the_end(value: int) -> Callable[[bytes], bytes]:
    """Change where the map of chunks is said to be."""
    return lambda whole: whole[:-8] + struct.pack("<Q", value)


def in_chunk(value: int, place: int) -> Callable[[bytes], bytes]:
    """Change the length of the first frame's name, or of its data."""

    def change(whole: bytes) -> bytes:
        at = whole.index(b"ImageDataSeq|0!") - 16 + place
        return whole[:at] + struct.pack("<I", value) + whole[at + 4 :]

    return change


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "a width of 0": number("uiWidth", 0),
    "a width of 2**32 - 1": number("uiWidth", 2**32 - 1),
    "a height of 2**32 - 1": number("uiHeight", 2**32 - 1),
    "2**32 - 1 frames": number("uiSequenceCount", 2**32 - 1),
    "2**32 - 1 slices": number("uiCount", 2**32 - 1),
    "no slice": number("uiCount", 0),
    "2**32 - 1 channels": number("uiComp", 2**32 - 1),
    "no channel": number("uiComp", 0),
    "77 bits": number("uiBpcInMemory", 77),
    "2**32 - 1 bits": number("uiBpcInMemory", 2**32 - 1),
    "rows of one byte": number("uiWidthBytes", 1),
    "rows of 2**32 - 1 bytes": number("uiWidthBytes", 2**32 - 1),
    "packed, but none": number("eCompression", 0),
    "an unknown loop": number("eType", 77),
    "a voxel of infinity": real("dCalibration", float("inf")),
    "a voxel of 1e300": real("dCalibration", 1e300),
    "slices NaN apart": real("dZStep", float("nan")),
    "no attributes": replaced(b"ImageAttributesLV!", b"ImageAttributesXX!"),
    "no metadata": replaced(b"ImageMetadataSeqLV|0!", b"ImageMetadataSeqXX|0!"),
    "a frame that is not there": replaced(b"ImageDataSeq|7!", b"ImageDataXxx|7!"),
    "no frames": replaced(b"ImageDataSeq|", b"ImageDataXxx|"),
    "another kind of value": replaced("uiWidth\0".encode("utf-16-le"), b"\xff" * 16),
    "a map beyond the file": at_the_end(2**62),
    "a map at the start": at_the_end(0),
    "a map in the middle of a frame": at_the_end(2 * HEADER + 7),
    "a frame's name of 2**32 - 1 bytes": in_chunk(2**32 - 1, 4),
    "a frame of 2**32 - 1 bytes": in_chunk(2**32 - 1, 8),
    "a frame without its sign": in_chunk(0, 0),
    "no sign": lambda whole: b"\0\0\0\0" + whole[4:],
    "a file of before 2010": lambda whole: b"\0\0\0\x0cjP  \r\n\x87\n" + whole[12:],
    "a cut end": lambda whole: whole[:-100],
    "half": lambda whole: whole[: len(whole) // 2],
    "a header only": lambda whole: whole[:64],
    "signs only": lambda whole: struct.pack("<I", MAGIC) * 1000,
    "nothing of ND2": lambda whole: bytes(range(256)) * 20,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_chunks_that_lie(
    refused: Callable[..., str], project: Path, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / "new.nd2"
    frames = np.moveaxis(noise(), 0, -1).astype(np.uint16)
    write_nd2(file, frames, z_step_um=2.0, pixel_um=0.5, channels=("DAPI",))
    file.write_bytes(change(file.read_bytes()))
    assert file.name in refused("add", project, file)


def test_a_name_without_end(refused: Callable[..., str], project: Path, tmp_path: Path) -> None:
    file = tmp_path / "new.nd2"
    frames = np.moveaxis(noise(), 0, -1).astype(np.uint16)
    write_nd2(file, frames, z_step_um=2.0, pixel_um=0.5, channels=("D" * 3_000_000,))
    assert "text" in refused("add", project, file)
