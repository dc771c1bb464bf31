"""How the store's arrays are compressed, and checked when they are read."""

from __future__ import annotations

from typing import Any

import numpy as np
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec


def image_codec(dtype: np.dtype[Any]) -> BloscCodec:
    """Return the compression that measured best for images."""
    return BloscCodec(cname="zstd", clevel=3, shuffle="shuffle", typesize=dtype.itemsize)


def label_codec() -> ZstdCodec:
    """Return the compression that measured best for labels, where runs of ids defeat shuffling."""
    return ZstdCodec(level=3)


def checksum() -> Crc32cCodec:
    """Return the checksum that stands last in every chain: what is read wrong is an error."""
    return Crc32cCodec()
