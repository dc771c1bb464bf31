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
from labels.numbers import number_of
from labels.spacing import Spacing

LETTERS = "TCZYXS"
DROPPED = "_"
SPACING_LIMITS_UM = (1e-4, 1e4)
STATE_SPACING = "state it in µm with --spacing-um Z Y X"
FLAT_UM = 1.0
"""z size, by definition, of an image without depth: its volumes read as areas in µm²."""

_IMAGE_DTYPES = frozenset(
    np.dtype(name)
    for name in "u1 u2 u4 i1 i2 i4 f2 f4 f8".split()  # noqa: SIM905
)
_EXAMPLES = {2: "YX", 3: "ZYX (TYX for a time series, YXS for colours)", 4: "CZYX or TZYX"}
_SAMPLES = (2, 3, 4)


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
        The user's statement (letters of ``TCZYXS``, S for colour samples); wins over the metadata.
        May leave out dimensions of length 1.

    Returns
    -------
    str
        One letter of ``TCZYXS`` per dimension, ``"_"`` for dimensions of length 1 to drop.

    Raises
    ------
    AxesError
        Axes unknown, not those of one image, or a statement that does not fit `shape`.
    """
    axes = _asked_axes(path, shape, asked) if asked is not None else stated
    if axes is None:
        raise AxesError(_unknown_axes(path, shape, "its metadata does not name them"))
    axes = "".join(
        DROPPED if size == 1 and letter not in "ZYX" else letter
        for letter, size in zip(axes, shape, strict=True)
    )
    _check_image(path, shape, axes)
    return axes


def _unknown_axes(path: Path, shape: Sequence[int], why: str) -> str:
    return (
        f"{path}: the axes of its shape {tuple(shape)} are ambiguous ({why}); "
        f"state them with --axes, for example --axes {_example(shape)}"
    )


def _example(shape: Sequence[int]) -> str:
    long = [size for size in shape if size > 1]
    return _EXAMPLES.get(len(shape)) or _EXAMPLES.get(len(long), "TCZYX")


def _asked_axes(path: Path, shape: Sequence[int], asked: str) -> str:
    """Spread the user's letters over the dimensions that they stand for."""
    letters = asked.strip().upper()
    if not letters or set(letters) - set(LETTERS) or len(set(letters)) != len(letters):
        raise AxesError(
            f"--axes {asked!r}: expected different letters of {LETTERS}, one per dimension, "
            "for example ZYX, CZYX or YXS"
        )
    if len(letters) == len(shape):
        return letters
    if len(letters) == sum(size > 1 for size in shape):
        given = iter(letters)
        return "".join(next(given) if size > 1 else DROPPED for size in shape)
    raise AxesError(
        f"{path}: expected --axes with {number_of(len(shape), 'letter')}, one for each dimension "
        f"of its shape {tuple(shape)}, got {asked!r}; give, for example, --axes {_example(shape)}"
    )


def _check_image(path: Path, shape: Sequence[int], axes: str) -> None:
    kept = axes.replace(DROPPED, "")
    foreign = set(kept) - set(LETTERS)
    if foreign:
        named = ", ".join(sorted(foreign))
        raise AxesError(_unknown_axes(path, shape, f"nothing says what {named} stands for"))
    if len(set(kept)) < len(kept):
        raise AxesError(_unknown_axes(path, shape, f"its metadata names them {kept}"))
    if not {"Y", "X"} <= set(kept):
        raise AxesError(
            f"{path}: expected an image, with Y and X, got axes {kept} of shape {tuple(shape)}; "
            "state other axes with --axes"
        )
    sizes = dict(zip(axes, shape, strict=True))
    if "S" in sizes and ("C" in sizes or sizes["S"] not in _SAMPLES):
        channels = f" in each of {number_of(sizes['C'], 'channel')}" if "C" in sizes else ""
        raise AxesError(
            f"{path}: expected colours of 3 samples (R, G, B), or one more for transparency, got "
            f"{number_of(sizes['S'], 'sample')}{channels}; save the channels apart (Fiji: Image > "
            "Color > Split Channels), or, where the samples are channels, say C for S with --axes"
        )
    if min(shape) < 1:
        raise AxesError(f"{path}: expected voxels, got the empty shape {tuple(shape)}")


def label_axes(axes: str | None) -> str | None:
    """Return the axes of an image's labels, which have neither channels nor colours.

    Parameters
    ----------
    axes : str, optional
        As the user states them for the image.
    """
    return axes and axes.upper().replace("C", "").replace("S", "")


def refuse_series(path: Path, times: int, *, flat: bool = False) -> None:
    """Refuse several time points, where only one can be used.

    Parameters
    ----------
    path : Path
        Named in the message.
    times : int
        Time points of the image or the labels.
    flat : bool
        Whether they have no depth, so that the frames may be slices.

    Raises
    ------
    AxesError
        More than one.
    """
    if times > 1:
        slices = "; if its frames are really z slices, say so with --axes ZYX" if flat else ""
        raise AxesError(
            f"{path}: expected one time point, got a time series of {times}; split it into "
            f"one file per time point (Fiji: Image > Duplicate, one frame){slices}"
        )


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
    path: Path,
    stated_um: Mapping[str, float],
    asked_um: Sequence[float] | None,
    hint: str,
    depth: int | None,
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
    depth : int, optional
        Length of the z axis; None without one, where the z size is `FLAT_UM` whatever the file
        states. It is that of one slice, too, where nothing else is stated.

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
    flat = {"Z": FLAT_UM} if depth is None or (depth == 1 and "Z" not in stated_um) else {}
    sizes = {**stated_um, **flat}
    missing = [axis for axis in "ZYX" if axis not in sizes]
    if missing:
        known = ", ".join(f"{axis} {um:g} µm" for axis, um in stated_um.items() if axis in "ZYX")
        raise SpacingError(
            f"{path}: no voxel size along {', '.join(missing)} in the file"
            f"{f' ({hint})' if hint else ''}{f'; it states {known}' if known else ''}; "
            f"{STATE_SPACING}{f' (Z is {FLAT_UM:g} for an image without depth)' if flat else ''}"
        )
    return check_spacing([sizes[axis] for axis in "ZYX"], f"{path}")


def check_time_step(time_step_s: float | None, what: str) -> float | None:
    """Return a time step, or refuse it.

    Raises
    ------
    FormatError
        Not finite and above 0.
    """
    if time_step_s is not None and not (math.isfinite(time_step_s) and time_step_s > 0):
        raise FormatError(
            f"{what}: expected a time step above 0 s, got {time_step_s}; leave it out where it is "
            "not known"
        )
    return time_step_s


def to_ids(
    slab: NDArray[Any], z0: int, path: Path | str, depth: int | None = None
) -> NDArray[np.uint32]:
    """Return integer labels as uint32.

    Parameters
    ----------
    slab : ndarray of integer, shape (dz, Y, X)
    z0 : int
        Index of the slab's first slice.
    path : Path or str
        Named in messages.
    depth : int, optional
        Slices of a time point, where the slices of several follow each other.

    Returns
    -------
    ndarray of uint32, shape (dz, Y, X)

    Raises
    ------
    LabelError
        Ids that are negative or above 2**32 - 1, naming the slice.
    """
    if slab.min() < 0 or slab.max() > MAX_LABEL:
        first = np.argmax((slab < 0) | (slab > MAX_LABEL))
        z, y, x = (int(i) for i in np.unravel_index(first, slab.shape))
        what = "the negative id" if slab[z, y, x] < 0 else "the id"
        at = f"z = {z0 + z}"
        if depth is not None:
            at = f"z = {(z0 + z) % depth} of time point {(z0 + z) // depth}"
        raise LabelError(
            f"{path}: expected ids from 0 to {MAX_LABEL}, got {what} {slab[z, y, x]} in slice "
            f"{at}; renumber the objects from 1, with 0 as background"
        )
    return slab.astype(np.uint32, order="C")


def check_labels_match(
    image_shape: Sequence[int],
    labels_shape: Sequence[int],
    what: str = "labels",
    *,
    times: tuple[int, int] = (1, 1),
) -> None:
    """Refuse labels of another shape than their image.

    Parameters
    ----------
    image_shape, labels_shape : (int, int, int)
        (Z, Y, X) of one time point.
    what : str
        Named in the message.
    times : (int, int)
        Time points of the image and of the labels.

    Raises
    ------
    LabelError
        The shapes, or the numbers of time points, differ.
    """
    if times[0] != times[1]:
        frames = "; where its frames are really z slices, say so with --axes ZYX"
        raise LabelError(
            f"{what}: expected labels of {number_of(times[0], 'time point')}, as the image "
            f"has, got {times[1]}; give the labels of this very image, all time points in one file"
            f"{frames if times[0] == 1 else ''}"
        )
    if tuple(image_shape) != tuple(labels_shape):
        raise LabelError(
            f"{what}: expected the image's shape (Z, Y, X) {tuple(image_shape)}, got "
            f"{tuple(labels_shape)}; give the labels of this very image, uncropped and unscaled"
        )
