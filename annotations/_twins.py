"""Fields that hold the same slices, found by hashes in one table of the store."""

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
"""Of every slice of every image that tells images apart: 16 bytes of hash, 4 of field's number."""
HASH_BYTES = 16

_ROWS = 8192
_LEAST_DETAILS, _STRIP = 64, 32
_NOTABLE, _ROUNDING, _FEW_LEVELS = 3e-4, 2, 16


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


def tells_apart(plane: NDArray[Any]) -> bool:
    """Return whether a slice shows anything that another image would not show too.

    A constant slice, a ramp, a few hot pixels or a scale bar on black do not.

    Parameters
    ----------
    plane : ndarray of integer or float, shape (Y, X)
    """
    if plane.size == 0:
        return False
    # Halved first: the range of the largest numbers is no number.
    span = float(plane.max()) / 2 - float(plane.min()) / 2
    rounding = _ROUNDING / 2 if plane.dtype.kind in "iu" and 2 * span > _FEW_LEVELS else 0
    least = max(_NOTABLE * span, rounding)
    axes = [axis for axis in (0, 1) if plane.shape[axis] > 1]
    wanted = min(_LEAST_DETAILS, max(plane.size // 3, 1))
    details = 0
    for start in range(0, plane.shape[0], _STRIP):
        strip = plane[start : start + _STRIP + 1] / 2.0
        for axis in axes:
            strip = np.diff(strip, axis=axis)
        # What is not the sum of a profile along y and one along x.
        details += int(np.count_nonzero(np.abs(strip) > least))
        if details >= wanted:
            return True
    return False


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
    """Add the slices of a field."""
    told = list(dict.fromkeys(hashes))
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


def told_in_full(root: zarr.Group, number: int) -> set[int]:
    """Return the fields that have all slices of a field and no others."""
    owners = np.asarray(child_array(root, SLICES)[...])[:, HASH_BYTES:]
    counts = Counter(np.ascontiguousarray(owners).view("<u4").ravel().tolist())
    return {
        n
        for pair, count in shared_slices(root, number).items()
        for n in pair
        if n != number and count == counts[number] == counts[n]
    }
