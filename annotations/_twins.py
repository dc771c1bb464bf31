"""Fields that hold the same voxels, found by hashes of their slices in one table of the store."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from annotations.codecs import label_codec, with_checksum
from annotations.layout import child_array

SLICES = "slices"
"""Of every slice of every image: 16 bytes of hash and 4 of its field's number."""
HASH_BYTES = 16

_ROWS = 8192


def slice_hash(plane: NDArray[Any]) -> bytes:
    """Return a hash of a slice's values and shape, whatever their dtype.

    Parameters
    ----------
    plane : ndarray of integer or float, shape (Y, X)

    Returns
    -------
    bytes
        `HASH_BYTES` of them; zeros for a constant slice, which says nothing about its origin.
    """
    if plane.size == 0 or plane.min() == plane.max():
        return bytes(HASH_BYTES)
    # Adding zero turns -0.0 into 0.0, which is the same intensity.
    values = np.ascontiguousarray(plane, dtype="<f8") + 0.0
    shape = np.asarray(plane.shape, dtype="<i8").tobytes()
    return hashlib.blake2b(shape + values.tobytes(), digest_size=HASH_BYTES).digest()


def create_slices(root: zarr.Group) -> None:
    """Create the empty table."""
    root.create_array(
        SLICES,
        shape=(0, HASH_BYTES + 4),
        chunks=(_ROWS, HASH_BYTES + 4),
        dtype=np.uint8,
        compressors=with_checksum(label_codec()),
        fill_value=0,
    )


def append_slices(root: zarr.Group, number: int, hashes: Sequence[bytes]) -> None:
    """Add the slices of a field; constant ones are left out."""
    told = [digest for digest in dict.fromkeys(hashes) if any(digest)]
    if not told:
        return
    table = child_array(root, SLICES)
    rows = np.empty((len(told), HASH_BYTES + 4), np.uint8)
    rows[:, :HASH_BYTES] = np.frombuffer(b"".join(told), np.uint8).reshape(-1, HASH_BYTES)
    rows[:, HASH_BYTES:] = np.frombuffer(np.uint32(number).tobytes(), np.uint8)
    start = table.shape[0]
    table.resize((start + len(told), table.shape[1]))
    table[start:] = rows


def shared_slices(root: zarr.Group, number: int | None = None) -> dict[tuple[int, int], int]:
    """Return how many slices fields have in common, by their two numbers, the lower one first.

    Parameters
    ----------
    root : zarr group
    number : int, optional
        Only of this field.
    """
    rows = np.asarray(child_array(root, SLICES)[...])
    if not len(rows):
        return {}
    digests = np.ascontiguousarray(rows[:, :HASH_BYTES]).view(f"V{HASH_BYTES}").ravel()
    owners = np.ascontiguousarray(rows[:, HASH_BYTES:]).view("<u4").ravel()
    _, which, sizes = np.unique(digests, return_inverse=True, return_counts=True)
    wanted = sizes > 1
    if number is not None:
        wanted &= np.isin(np.arange(len(sizes)), which[owners == number])
    found: Counter[tuple[int, int]] = Counter()
    kept = np.flatnonzero(wanted[which])
    order = kept[np.argsort(which[kept], kind="stable")]
    for group in np.split(order, np.flatnonzero(np.diff(which[order])) + 1):
        numbers = sorted({int(owner) for owner in owners[group]})
        pairs: Iterable[tuple[int, int]]
        if number is None:
            pairs = combinations(numbers, 2)
        else:
            pairs = ((min(n, number), max(n, number)) for n in numbers if n != number)
        found.update(pairs)
    return found
