"""What every format must satisfy: axes, dtype, voxel size, finite voxels, label ids."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.errors import AxesError, FormatError, LabelError, SpacingError
from annotations.formats.format import MAX_LABEL
from labels.spacing import Spacing

LETTERS = "TCZYX"
DROPPED = "_"
SPACING_LIMITS_UM = (1e-4, 1e4)
STATE_SPACING = "state it in µm with --spacing-um Z Y X"

_IMAGE_DTYPES = frozenset(
    np.dtype(name)
    for name in "u1 u2 u4 i1 i2 i4 f2 f4 f8".split()  # noqa: SIM905
)
_EXAMPLES = {3: "ZYX", 4: "CZYX or ZCYX", 5: "TCZYX"}


def resolve_axes(
    path: Path, shape: Sequence[int], stated: str | None, asked: str | None = None
) -> str:
    """Decide what each dimension of a file is, without guessing.

    Parameters
    ----------
    path : Path
        Named in messages.
    shape : sequence of int
        As stored.
    stated : str, optional
        One letter per dimension from the file's metadata; None when it has none.
    asked : str, optional
        The user's statement (letters of ``TCZYX``); wins over the metadata. May leave out
        dimensions of length 1.

    Returns
    -------
    str
        One letter of ``CZYX`` per dimension, ``"_"`` for dimensions of length 1 to drop.

    Raises
    ------
    AxesError
        Axes unknown, not those of one 3D stack, or a statement that does not fit `shape`.
    """
    axes = _asked_axes(path, shape, asked) if asked is not None else stated
    if axes is None:
        raise AxesError(_unknown_axes(path, shape, "its metadata does not name them"))
    axes = "".join(
        DROPPED if size == 1 and letter not in "ZYX" else letter
        for letter, size in zip(axes, shape, strict=True)
    )
    _check_stack(path, shape, axes)
    return axes


def _unknown_axes(path: Path, shape: Sequence[int], why: str) -> str:
    long = [size for size in shape if size > 1]
    example = _EXAMPLES.get(len(shape)) or _EXAMPLES.get(len(long), "ZYX")
    return (
        f"{path}: the axes of its shape {tuple(shape)} are ambiguous ({why}); "
        f"state them with --axes, for example --axes {example}"
    )


def _asked_axes(path: Path, shape: Sequence[int], asked: str) -> str:
    """Spread the user's letters over the dimensions that they stand for."""
    letters = asked.strip().upper()
    if not letters or set(letters) - set(LETTERS) or len(set(letters)) != len(letters):
        raise AxesError(
            f"--axes {asked!r}: expected different letters of {LETTERS}, one per dimension, "
            "for example ZYX or CZYX"
        )
    if len(letters) == len(shape):
        return letters
    if len(letters) == sum(size > 1 for size in shape):
        given = iter(letters)
        return "".join(next(given) if size > 1 else DROPPED for size in shape)
    raise AxesError(
        f"{path}: expected --axes with {len(shape)} letters, one for each dimension of its shape "
        f"{tuple(shape)}, got {asked!r}; give, for example, "
        f"--axes {_EXAMPLES.get(len(shape), 'ZYX')}"
    )


def colours_error(path: Path, samples: int) -> AxesError:
    """Return what is raised for colour images."""
    return AxesError(
        f"{path}: expected one intensity per voxel, got {samples} colour samples (RGB); "
        "split the colours into channels or convert to grey (Fiji: Image > Type), save again"
    )


def _check_stack(path: Path, shape: Sequence[int], axes: str) -> None:
    sizes = dict(zip(axes, shape, strict=True))
    if sizes.get("S", 1) > 1:
        raise colours_error(path, sizes["S"])
    if sizes.get("T", 1) > 1:
        frames_are_slices = (
            "" if "Z" in sizes else "; if its frames are really z slices, say so with --axes ZYX"
        )
        raise AxesError(
            f"{path}: expected one time point, got a time series of {sizes['T']}; split it into "
            f"one file per time point (Fiji: Image > Duplicate, one frame){frames_are_slices}"
        )
    foreign = set(axes) - set("CZYX" + DROPPED)
    if foreign:
        named = ", ".join(sorted(foreign))
        raise AxesError(_unknown_axes(path, shape, f"nothing says what {named} stands for"))
    if sizes.get("Z", 1) < 2 or "Y" not in sizes or "X" not in sizes:
        raise AxesError(
            f"{path}: a 3D stack is needed (Z of two slices or more, Y, X), got axes "
            f"{axes.replace(DROPPED, '')} of shape {tuple(shape)}; give the whole z stack as one "
            "file, or state other axes with --axes"
        )
    if 0 in shape:
        raise AxesError(f"{path}: expected voxels, got the empty shape {tuple(shape)}")


def check_image_dtype(path: Path, dtype: np.dtype[Any]) -> None:
    """Refuse intensities that are not 8/16/32-bit integers or 16/32/64-bit floats.

    Raises
    ------
    FormatError
        Naming the dtype and what to save instead.
    """
    if dtype.newbyteorder("=") not in _IMAGE_DTYPES:
        raise FormatError(
            f"{path}: expected 8, 16 or 32-bit integers or 16, 32 or 64-bit floats, got {dtype}; "
            "save the intensities as uint8, uint16 or float32"
        )


def check_label_dtype(path: Path, dtype: np.dtype[Any]) -> None:
    """Refuse labels that are not integers.

    Raises
    ------
    LabelError
        Naming the dtype and what to save instead.
    """
    if dtype.kind == "b":
        raise LabelError(
            f"{path}: expected integer labels, got a mask of true and false; give each object an "
            "id (connected components) and save as 16 or 32-bit integers"
        )
    if dtype.kind not in "iu":
        raise LabelError(
            f"{path}: expected integer labels, got {dtype}; save them as 16 or 32-bit integers"
        )


def check_spacing(spacing_um: Sequence[float], what: str = "--spacing-um") -> Spacing:
    """Return a voxel size as three floats, or refuse it.

    Parameters
    ----------
    spacing_um : sequence of 3 float
        Voxel size (z, y, x) in µm.
    what : str
        Where it came from, for the message.

    Returns
    -------
    (float, float, float)

    Raises
    ------
    SpacingError
        Not three numbers, not finite and positive, or outside 1e-4 to 1e4 µm.
    """
    try:
        values = tuple(float(value) for value in spacing_um)
    except (TypeError, ValueError) as exc:
        raise SpacingError(
            f"{what}: expected three numbers, got {spacing_um!r}; {STATE_SPACING}"
        ) from exc
    if len(values) != 3:
        raise SpacingError(
            f"{what}: expected three numbers (z, y, x), got {len(values)}; {STATE_SPACING}"
        )
    low, high = SPACING_LIMITS_UM
    for value in values:
        if not math.isfinite(value) or value <= 0:
            raise SpacingError(
                f"{what}: expected a positive voxel size, got {values}; {STATE_SPACING}"
            )
        if not low <= value <= high:
            raise SpacingError(
                f"{what}: a voxel of {value} µm is not plausible ({low} to {high} µm): the unit "
                f"is probably wrong; {STATE_SPACING}"
            )
    return values[0], values[1], values[2]


def choose_spacing(
    path: Path, stated_um: Mapping[str, float], asked_um: Sequence[float] | None, hint: str
) -> Spacing:
    """Return the user's voxel size, else the file's.

    Parameters
    ----------
    path : Path
        Named in messages.
    stated_um : mapping of str to float
        What the file states, by axis letter; possibly incomplete.
    asked_um : sequence of 3 float, optional
        The user's (z, y, x); wins.
    hint : str
        Why the file has none, for the message.

    Returns
    -------
    (float, float, float)
        (z, y, x) in µm.

    Raises
    ------
    SpacingError
        Neither has a usable one.
    """
    if asked_um is not None:
        return check_spacing(asked_um)
    missing = [axis for axis in "ZYX" if axis not in stated_um]
    if missing:
        known = ", ".join(f"{axis} {stated_um[axis]:g} µm" for axis in "ZYX" if axis in stated_um)
        raise SpacingError(
            f"{path}: no voxel size along {', '.join(missing)} in the file"
            f"{f' ({hint})' if hint else ''}{f'; it states {known}' if known else ''}; "
            f"{STATE_SPACING}"
        )
    return check_spacing([stated_um[axis] for axis in "ZYX"], f"{path}")


def to_ids(slab: NDArray[Any], z0: int, path: Path | str) -> NDArray[np.uint32]:
    """Return integer labels as uint32.

    Parameters
    ----------
    slab : ndarray of integer, shape (dz, Y, X)
    z0 : int
        z index, in the whole stack, of the slab's first slice.
    path : Path or str
        Named in messages.

    Returns
    -------
    ndarray of uint32, shape (dz, Y, X)

    Raises
    ------
    LabelError
        Ids that are negative or above 2**32 - 1, naming the slice.
    """
    if slab.min() < 0 or slab.max() > MAX_LABEL:
        z, y, x = (int(i) for i in np.argwhere((slab < 0) | (slab > MAX_LABEL))[0])
        what = "the negative id" if slab[z, y, x] < 0 else "the id"
        raise LabelError(
            f"{path}: expected ids from 0 to {MAX_LABEL}, got {what} {slab[z, y, x]} in slice "
            f"z = {z0 + z}; renumber the objects from 1, with 0 as background"
        )
    return slab.astype(np.uint32, order="C")


def check_labels_match(
    image_shape: Sequence[int], labels_shape: Sequence[int], what: str = "labels"
) -> None:
    """Refuse labels of another shape than their image.

    Parameters
    ----------
    image_shape, labels_shape : (int, int, int)
        (Z, Y, X).
    what : str
        Named in the message.

    Raises
    ------
    LabelError
        The shapes differ.
    """
    if tuple(image_shape) != tuple(labels_shape):
        raise LabelError(
            f"{what}: expected the image's shape (Z, Y, X) {tuple(image_shape)}, got "
            f"{tuple(labels_shape)}; give the labels of this very image, uncropped and unscaled"
        )
