"""How large packed bytes become."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib

import numcodecs
import numpy as np
import pytest

from annotations.formats.packed import COMPRESSORS, unpacked_bytes

NOISE = np.random.default_rng(0).integers(0, 9, 300_000).astype(np.uint8).tobytes()
ZEROS = bytes(700_000)
STREAMS = {
    "gzip": gzip.compress(NOISE) + gzip.compress(ZEROS),
    "zlib": zlib.compress(NOISE + ZEROS),
    "bz2": bz2.compress(NOISE) + bz2.compress(ZEROS),
    "lzma": lzma.compress(NOISE) + lzma.compress(ZEROS),
}


@pytest.mark.parametrize("name", STREAMS)
def test_streams_are_measured_to_their_end_or_to_the_bound(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("annotations.formats.packed._HARMLESS", 0)
    packed = memoryview(STREAMS[name])
    assert unpacked_bytes(name, packed, 2_000_000) == 1_000_000
    assert unpacked_bytes(name, packed, 400_000) > 400_000
    assert unpacked_bytes(name, packed[:1000], 310_000) < 300_000


@pytest.mark.parametrize("name", sorted(COMPRESSORS))
@pytest.mark.parametrize(
    "data", [NOISE, ZEROS, b"", b"abc"], ids=["noise", "zeros", "empty", "abc"]
)
def test_chunks_of_every_compressor_fit_into_their_own_size(name: str, data: bytes) -> None:
    """What is not damaged must never be refused."""
    codec = numcodecs.get_codec({"id": name})
    packed = memoryview(bytes(codec.encode(data)))
    room = 4 * len(data) + (1 << 16)
    assert unpacked_bytes(name, packed, room) <= room
    if name == "zstd":
        assert unpacked_bytes(name, packed, room) == len(data)


@pytest.mark.parametrize("name", sorted(COMPRESSORS))
def test_damaged_bytes_are_measured_without_an_error(name: str) -> None:
    rng = np.random.default_rng(1)
    whole = bytes(numcodecs.get_codec({"id": name}).encode(NOISE))
    for _ in range(200):
        damaged = bytearray(whole[: int(rng.integers(0, 2000))])
        for _ in range(min(len(damaged), 3)):
            damaged[int(rng.integers(0, len(damaged)))] = int(rng.integers(0, 256))
        assert unpacked_bytes(name, memoryview(bytes(damaged)), 1 << 20) >= 0
