"""How the chunks of the store's arrays are compressed, each with a checksum."""

from __future__ import annotations

from typing import Any

import numpy as np
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec


def image_codec(dtype: np.dtype[Any]) -> BloscCodec:
    """Return the compression that measured best for images."""
    return BloscCodec(cname="zstd", clevel=3, shuffle="shuffle", typesize=dtype.itemsize)


def label_codec() -> ZstdCodec:
    """Return the compression that measured best for labels, where runs of ids defeat shuffling."""
    return ZstdCodec(level=3)


def with_checksum(codec: BytesBytesCodec) -> tuple[BytesBytesCodec, ...]:
    """Return the compressors of an array of the store: one, and the checksum of what it made.

    A bit that flips on the disk is then an error when the chunk is read, and never a wrong value.
    """
    return codec, Crc32cCodec()
