"""Steps that make an image easier to segment, each a pure function.

Every step takes and returns a ZYX array and leaves its input as it is. Steps that look at
neighbours (CLAHE, median, top-hat) work slice by slice, since slices are far apart in z.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.planes import PROJECTIONS
from hitl.project.errors import HitlError
from labels.numbers import number_of

Image = NDArray[Any]

STRETCHED = (np.uint8, np.uint16, np.float16, np.float32, np.float64)
"""What `percentile_stretch` takes."""

COUNTED = (np.uint8, np.uint16)
"""What `histogram_stretch` takes."""


class PreprocessError(HitlError):
    """An image that a preprocessing step cannot take, or an option without meaning."""


def to_uint8(image: Image, *, low: float = 0.0, high: float = 100.0) -> NDArray[np.uint8]:
    """Scale the stack to 0–255: the percentile `low` becomes 0, `high` becomes 255.

    Parameters
    ----------
    image : ndarray of integer or float, shape (Z, Y, X)
    low, high : float
        Percentiles over the whole stack; 0 and 100 are its minimum and maximum. Intensities
        outside are clipped.

    Returns
    -------
    ndarray of uint8, shape (Z, Y, X)
        Linearly scaled and rounded to the nearest integer.

    Raises
    ------
    PreprocessError
        When the image is not 3D or not finite, or both percentiles are the same intensity.
    """
    require(image, "to_uint8")
    return stretch_between(
        image, "to_uint8", _levels(image, "to_uint8", low, high), np.dtype(np.uint8)
    )


def suppress_background(image: Image, *, below: int = 7) -> NDArray[np.uint8]:
    """Set intensities below `below` (of 255) to 0.

    Parameters
    ----------
    image : ndarray of uint8, shape (Z, Y, X)
    below : int
        The first intensity that is kept.

    Returns
    -------
    ndarray of uint8, shape (Z, Y, X)

    Raises
    ------
    PreprocessError
        When the image is not a 3D uint8 array.
    """
    require(image, "suppress_background", np.uint8)
    return np.where(image >= below, image, 0).astype(np.uint8)


def gamma(image: Image, *, gamma: float = 1.0) -> Image:
    """Raise intensities, as a share of the dtype's maximum, to the power `gamma`.

    Parameters
    ----------
    image : ndarray of uint8 or uint16, shape (Z, Y, X)
    gamma : float
        Over 1 darkens, under 1 brightens.

    Returns
    -------
    ndarray of the same dtype, shape (Z, Y, X)
        Rounded to the nearest integer.

    Raises
    ------
    PreprocessError
        When the image is not 3D, of another dtype, or `gamma` is not positive.
    """
    require(image, "gamma", np.uint8, np.uint16)
    if not gamma > 0:
        raise PreprocessError(f"gamma: expected a number over 0, got {gamma}")
    top = np.iinfo(image.dtype).max
    # A table has 256 or 65,536 entries, far fewer than the stack has voxels.
    table = np.rint((np.arange(top + 1) / top) ** gamma * top).astype(image.dtype)
    return np.asarray(table[image])


def clahe(image: Image, *, grid: int = 8, clip_limit: float = 2.0) -> Image:
    """Equalise contrast locally in each slice, with a limit on amplification (CLAHE).

    Parameters
    ----------
    image : ndarray of uint8 or uint16, shape (Z, Y, X)
    grid : int
        Tiles along y and along x.
    clip_limit : float
        OpenCV's limit on a histogram's bins, relative to a flat histogram. At 16 bits a tile has
        more bins than voxels, and the limit is one voxel a bin whatever is given; put `to_uint8`
        before to set it.

    Returns
    -------
    ndarray of the same dtype, shape (Z, Y, X)

    Raises
    ------
    PreprocessError
        When the image is not 3D or of another dtype, or the grid finer than the slice.
    """
    require(image, "clahe", np.uint8, np.uint16)
    if not 1 <= grid <= min(image.shape[1:]):
        raise PreprocessError(
            f"clahe: expected a grid of 1 up to {number_of(min(image.shape[1:]), 'tile')} (the "
            f"slice's shorter side), got {grid}"
        )
    import cv2

    equalise = cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=(grid, grid))
    return _each_slice(image, equalise.apply)


def median(image: Image, *, size: int = 3) -> Image:
    """Replace each pixel by the median of a square window in its slice.

    Parameters
    ----------
    image : ndarray of uint8, uint16 or float32, shape (Z, Y, X)
    size : int
        Odd width of the window in pixels; over 5 for uint8 only. Border pixels count as
        repeated outwards.

    Returns
    -------
    ndarray of the same dtype, shape (Z, Y, X)

    Raises
    ------
    PreprocessError
        When the image is not 3D, of another dtype, or `size` is not an odd number over 1.
    """
    if size < 3 or size % 2 == 0:
        raise PreprocessError(f"median: expected an odd size (3, 5, 7, …), got {size}")
    allowed = (np.uint8, np.uint16, np.float32) if size <= 5 else (np.uint8,)
    require(image, "median" if size <= 5 else f"median of size {size}", *allowed)
    import cv2

    return _each_slice(image, lambda plane: cv2.medianBlur(plane, size))


def subtract_tophat(image: Image, *, radius: int = 2) -> Image:
    """Subtract bright artefacts into which no disk of `radius` pixels fits (white top-hat).

    Parameters
    ----------
    image : ndarray of uint8, uint16 or float32, shape (Z, Y, X)
    radius : int
        Of the disk dy² + dx² ≤ r², in pixels.

    Returns
    -------
    ndarray of the same dtype, shape (Z, Y, X)
        The image minus its white top-hat, slice by slice.

    Raises
    ------
    PreprocessError
        When the image is not 3D, of another dtype, or `radius` is under 1.
    """
    require(image, "subtract_tophat", np.uint8, np.uint16, np.float32)
    if radius < 1:
        raise PreprocessError(f"subtract_tophat: expected a radius of 1 or more, got {radius}")
    import cv2

    span = np.arange(-radius, radius + 1)
    disk = (span[:, None] ** 2 + span**2 <= radius**2).astype(np.uint8)
    # The top-hat is the image minus its opening, so subtracting it leaves the opening.
    return _each_slice(image, lambda plane: cv2.morphologyEx(plane, cv2.MORPH_OPEN, disk))


def percentile_stretch(image: Image, *, low: float = 5.0, high: float = 98.0) -> Image:
    """Scale two percentiles of the stack to the ends of the intensity range.

    Parameters
    ----------
    image : ndarray of uint8, uint16 or float, shape (Z, Y, X)
    low, high : float
        Percentiles over the whole stack; intensities outside are clipped.

    Returns
    -------
    ndarray of the same dtype for uint8 and uint16, else of float32 in [0, 1], shape (Z, Y, X)

    Raises
    ------
    PreprocessError
        When the image is not 3D or not finite, of another dtype, or both percentiles are the
        same intensity.
    """
    name = "percentile_stretch"
    require(image, name, *STRETCHED)
    return stretch_between(
        image, name, _levels(image, name, low, high), stretched_dtype(image.dtype)
    )


def histogram_stretch(image: Image, *, min_count: int = 0) -> Image:
    """Scale the lowest and highest level with more than `min_count` voxels to the range's ends.

    Parameters
    ----------
    image : ndarray of uint8 or uint16, shape (Z, Y, X)
    min_count : int
        Levels with at most this many voxels of the stack are not looked at.

    Returns
    -------
    ndarray of the same dtype, shape (Z, Y, X)

    Raises
    ------
    PreprocessError
        When the image is not 3D, of another dtype, or fewer than two levels are left.
    """
    require(image, "histogram_stretch", *COUNTED)
    ends = occupied_ends(np.bincount(image.ravel()), min_count)
    return stretch_between(image, "histogram_stretch", ends, image.dtype)


def occupied_ends(counts: NDArray[Any], min_count: int) -> tuple[float, float]:
    """Return the lowest and highest level with more than `min_count` voxels.

    Raises
    ------
    PreprocessError
        When fewer than two levels are left.
    """
    levels = np.flatnonzero(counts > min_count)
    if levels.size < 2:
        raise PreprocessError(
            "histogram_stretch: expected two or more intensities with over "
            f"{number_of(min_count, 'voxel')}, got {levels.size}; lower min_count"
        )
    return float(levels[0]), float(levels[-1])


def project(image: Image, *, method: str = "max") -> Image:
    """Make one slice of all, shape (1, Y, X), of the image's dtype, means rounded to it.

    Parameters
    ----------
    image : ndarray of integer or float, shape (Z, Y, X)
    method : {"max", "mean"}

    Raises
    ------
    PreprocessError
        Not 3D, or an unknown method.
    """
    require(image, "project")
    if method not in PROJECTIONS:
        raise PreprocessError(f"project: expected {' or '.join(PROJECTIONS)}, got {method!r}")
    return PROJECTIONS[method](image, axis=0, keepdims=True)


def require(image: Image, step: str, *dtypes: type[np.generic]) -> None:
    """Refuse an image of another shape or dtype; no `dtypes`: any integer or float."""
    if image.ndim != 3 or 0 in image.shape:
        raise PreprocessError(f"{step}: expected a 3D image (Z, Y, X), got shape {image.shape}")
    if not dtypes and image.dtype.kind not in "iuf":
        raise PreprocessError(
            f"{step}: expected an image of integers or floats, got {image.dtype}; "
            "give the intensities, not a mask"
        )
    if dtypes and image.dtype not in [np.dtype(dtype) for dtype in dtypes]:
        names = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise PreprocessError(
            f"{step}: expected an image of {names}, got {image.dtype}; "
            "put the step to_uint8 before it"
        )


def _levels(image: Image, step: str, low: float, high: float) -> tuple[float, float]:
    """Return the intensities at two percentiles of the stack (linear between ranks)."""
    if not 0 <= low < high <= 100:
        raise PreprocessError(
            f"{step}: expected percentiles 0 ≤ low < high ≤ 100, got {low} and {high}"
        )
    if (low, high) == (0, 100):
        first, last = float(image.min()), float(image.max())
    else:
        first, last = (float(value) for value in np.percentile(image, (low, high)))
    return finite_ends(first, last, step)


def finite_ends(first: float, last: float, step: str) -> tuple[float, float]:
    """Return two intensities; PreprocessError where one is NaN or infinite."""
    if not np.isfinite(last - first):
        raise PreprocessError(
            f"{step}: expected finite intensities, got NaN or infinite voxels; "
            "replace them (for example with 0)"
        )
    return first, last


def stretched_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return what `percentile_stretch` makes of a dtype."""
    return dtype if dtype.kind == "u" else np.dtype(np.float32)


def stretch_between(
    image: Image, step: str, ends: tuple[float, float], dtype: np.dtype[Any]
) -> Image:
    """Map `ends` linearly to 0 and the largest value of `dtype` (1 for floats), clipped."""
    first, last = ends
    if not last > first:
        raise PreprocessError(
            f"{step}: expected two different intensities to stretch, got {first:g} for both; "
            "widen the percentiles, or check that the right channel was given"
        )
    top = np.iinfo(dtype).max if dtype.kind == "u" else 1

    def scale(values: Image) -> Image:
        scaled = np.clip((values.astype(np.float64) - first) / (last - first), 0, 1) * top
        return (np.rint(scaled) if dtype.kind == "u" else scaled).astype(dtype)

    if image.dtype in (np.uint8, np.uint16):
        return np.asarray(scale(np.arange(np.iinfo(image.dtype).max + 1))[image])
    return _each_slice(image, scale)


def _each_slice(image: Image, work: Callable[[Image], Image]) -> Image:
    """Stack what `work` makes of each slice; one slice of temporary memory at a time."""
    first = work(np.ascontiguousarray(image[0]))
    out = np.empty(image.shape, dtype=first.dtype)
    out[0] = first
    for z in range(1, image.shape[0]):
        out[z] = work(np.ascontiguousarray(image[z]))
    return out


STEPS: dict[str, Callable[..., Image]] = {
    step.__name__: step
    for step in (
        project, to_uint8, suppress_background, gamma, clahe, median, subtract_tophat,
        percentile_stretch, histogram_stretch,
    )
}  # fmt: skip
"""The functions by the names that the config has for them."""
