"""NumPy files: headers that lie, intensities that nothing can see, labels that are none."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.annotations.store_sources import boxes, noise
from tests.hostile.projects import good_labels

SHAPE = (20, 40, 30)
STATED = ["--axes=ZYX", "--spacing-um", 2, 0.5, 0.4]


def header(text: str, body: bytes = bytes(64), version: int = 1) -> bytes:
    encoded = text.encode() + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(encoded))
    return b"\x93NUMPY" + bytes([version, 0]) + size + encoded + body


def described(descr: str = "'<u2'", shape: str = "(1, 4, 8)", order: str = "False") -> bytes:
    return header(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}")


HEADERS: dict[str, Callable[[], bytes]] = {
    "a shape of 10**12": lambda: described(shape="(1000000000000, 5, 5)"),
    "a shape of 2**63": lambda: described(shape=f"({2**63}, 5, 5)"),
    "a shape that overflows": lambda: described(shape=f"({2**32}, {2**32}, 1)"),
    "a shape of 5,000 digits": lambda: described(shape=f"({'9' * 5000}, 5, 5)"),
    "a shape to be computed": lambda: described(shape="(9**9**9, 5, 5)"),
    "a negative shape": lambda: described(shape="(-1, 4, 8)"),
    "two negative sizes": lambda: described(shape="(-4, -4, 8)"),
    "an empty shape": lambda: described(shape="(0, 4, 8)"),
    "no shape": lambda: described(shape="()"),
    "a shape of true": lambda: described(shape="(True, 4, 8)"),
    "70 axes": lambda: described(shape=f"({'1,' * 70})"),
    "five axes": lambda: described(shape="(1, 1, 1, 4, 8)"),
    "texts of 10**9": lambda: described("'|S1000000000'"),
    "texts of nothing": lambda: described("'|S0'"),
    "raw bytes": lambda: described("'|V2'"),
    "objects": lambda: described("'|O'"),
    "fields": lambda: described("[('a', '<u2')]"),
    "arrays of 10**9": lambda: described("('<u2', (1000000000,))"),
    "dates": lambda: described("'<M8[s]'"),
    "complex numbers": lambda: described("'<c8'"),
    "an unknown dtype": lambda: described("'<q77'"),
    "a call as a dtype": lambda: described("__import__('os')"),
    "fewer voxels than it says": lambda: described(shape="(20, 40, 30)"),
    "a header of 4 GB": lambda: header("{", version=2)[:8] + b"\xff\xff\xff\xff",
    "a header in a header": lambda: header("(" * 9000),
    "a header of nulls": lambda: header("\0" * 100),
    "version 9": lambda: header("{}", version=9),
    "a zip": lambda: b"PK\x03\x04" + bytes(200),
    "a PNG": lambda: b"\x89PNG\r\n\x1a\n" + bytes(200),
    "a pickle": lambda: b"\x80\x04N.",
    "one byte": lambda: b"\x93",
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("make", HEADERS.values(), ids=HEADERS)
def test_a_header_that_lies(
    refused: Callable[..., str], project: Path, tmp_path: Path, make: Callable[[], bytes]
) -> None:
    file = tmp_path / "new.npy"
    file.write_bytes(make())
    assert str(file) in refused("add", project, file, *STATED)


def in_one_voxel(value: float, dtype: str = "f8") -> np.ndarray:
    image = noise()[0].astype(dtype)
    image[3, 4, 5] = value
    return image


def scaled(factor: float, offset: float = 0) -> np.ndarray:
    return noise()[0].astype(np.float64) * factor + offset


IMAGES: dict[str, Callable[[], np.ndarray]] = {
    "1e302 everywhere": lambda: scaled(1e300),
    "1e302 in one voxel": lambda: in_one_voxel(1e302),
    "-1e300 in one voxel": lambda: in_one_voxel(-1e300),
    "more than 32 bits between": lambda: np.where(noise()[0] % 2, 3e38, -3e38),
    "1e-310": lambda: scaled(1e-312),
    "1e-40": lambda: scaled(1e-42),
    "differences beyond 32-bit floats": lambda: scaled(1e-6, 1e9),
    "NaN in one voxel": lambda: in_one_voxel(np.nan),
    "infinity in one voxel": lambda: in_one_voxel(np.inf, "f2"),
    "NaN everywhere": lambda: np.full(SHAPE, np.nan, np.float32),
    "one value": lambda: np.full(SHAPE, 7, np.uint16),
    "zeros": lambda: np.zeros(SHAPE, np.float64),
    "complex numbers": lambda: noise()[0].astype(np.complex64),
    "true and false": lambda: noise()[0] > 100,
    "64-bit whole numbers": lambda: noise()[0].astype(np.int64),
    "80-bit floats": lambda: noise()[0].astype(np.longdouble),
}


@pytest.mark.parametrize("make", IMAGES.values(), ids=IMAGES)
def test_intensities_that_nothing_can_see(
    refused: Callable[..., str], project: Path, tmp_path: Path, make: Callable[[], np.ndarray]
) -> None:
    file = tmp_path / "new.npy"
    np.save(file, make())
    assert file.name in refused("add", project, file, *STATED)
    refused("segment", file, tmp_path / "out.tif", "--segmenter=classical", *STATED)
    assert not (tmp_path / "out.tif").exists()


LABELS: dict[str, Callable[[], np.ndarray]] = {
    "fractions": lambda: boxes() + 0.5,
    "whole floats": lambda: boxes().astype(np.float32),
    "NaN": lambda: np.full(SHAPE, np.nan),
    "complex numbers": lambda: boxes().astype(np.complex64),
    "true and false": lambda: boxes() > 0,
    "negative ids": lambda: boxes().astype(np.int32) - 1,
    "-2**63": lambda: np.full(SHAPE, -(2**63), np.int64),
    "2**32": lambda: boxes().astype(np.uint64) * 2**32,
    "2**64 - 1": lambda: np.full(SHAPE, 2**64 - 1, np.uint64),
    "another depth": lambda: boxes()[:10],
    "another width": lambda: boxes()[:, :, :29],
    "turned": lambda: boxes().transpose(2, 1, 0),
    "two axes": lambda: boxes()[0],
    "five axes": lambda: boxes()[None, None].repeat(2, 0),
    "no voxels": lambda: boxes()[:0],
    "one number": lambda: np.array(3),
}


@pytest.mark.parametrize("make", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("verb", ["import", "add", "measure", "score"])
def test_labels_that_are_none(
    refused: Callable[..., str],
    project: Path,
    tmp_path: Path,
    verb: str,
    make: Callable[[], np.ndarray],
) -> None:
    file, image = tmp_path / "labels.npy", tmp_path / "image.npy"
    np.save(file, make())
    np.save(image, noise()[0])
    measured = ["measure", "--labels", file, "--image", image, "--output", tmp_path / "out"]
    command = {
        "import": ["import", project, "s", file, "--annotator=anna"],
        "add": ["add", project, image, f"--labels={file}", *STATED],
        "measure": [*measured, *STATED],
        "score": ["score", good_labels(tmp_path / "good.tif"), file, "--axes=ZYX"],
    }[verb]
    assert "label" in refused(*command)
