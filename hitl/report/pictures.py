"""Pictures of a place: image, truth and prediction in an xy and an xz slice, as data URIs."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.report.worst_places import Place

# Okabe and Ito's palette (2008) with white: told apart with any colour vision, and in grey.
BOTH = (240, 240, 240)
PREDICTION_ONLY = (230, 159, 0)
TRUTH_ONLY = (86, 180, 233)
OTHER = (110, 110, 118)
OUTLINE = (20, 20, 24)
TARGET_PX = 220

Rgb = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """One panel.

    Parameters
    ----------
    name : {"image", "truth", "prediction"}
    uri : str
        Lossless WebP in a data URI.
    width, height : int
        In pixels.
    alt : str
    """

    name: str
    uri: str
    width: int
    height: int
    alt: str


@dataclass(frozen=True)
class View:
    """Three linked panels of one slice.

    Parameters
    ----------
    plane : {"xy", "xz"}
    where : str
        Such as "z = 12.5 µm".
    pictures : tuple of Picture
    bar_um : float
        Length of the scale bar.
    bar_share : float
        That length as a share of the panel's width.
    """

    plane: str
    where: str
    pictures: tuple[Picture, ...]
    bar_um: float
    bar_share: float


def draw(place: Place) -> tuple[View, View]:
    """Draw the xy and the xz slice that show most of the nuclei and of what is wrong with them."""
    true, predicted = place.true_voxels, place.predicted_voxels
    # Wrong voxels count twice, or the cut would often graze the end of a nucleus.
    weight = (true | predicted).astype(np.int64) + (true ^ predicted)
    z = int(weight.sum(axis=(1, 2)).argmax())
    y = int(weight.sum(axis=(0, 2)).argmax())
    dz, dy, dx = place.spacing_um
    whole = (slice(None), slice(None))
    return (
        _view(place, "xy", (z, *whole), f"z = {(place.start[0] + z) * dz:.1f} µm", (dy, dx)),
        _view(
            place,
            "xz",
            (whole[0], y, whole[1]),
            f"y = {(place.start[1] + y) * dy:.1f} µm",
            (dz, dx),
        ),
    )


def _view(
    place: Place, plane: str, index: tuple[Any, ...], where: str, pixel_um: tuple[float, float]
) -> View:
    grey = _grey(place.image)[index]
    truth, pred = place.truth[index], place.pred[index]
    height_um, width_um = (n * s for n, s in zip(grey.shape, pixel_um, strict=True))
    side = max(height_um, width_um)
    shape = tuple(max(8, round(TARGET_PX * um / side)) for um in (height_um, width_um))
    names = f"{place.case.kind} in {place.case.field}, {plane} slice at {where}"
    panels = {
        "image": (_enlarged(np.repeat(grey[..., None], 3, axis=2), shape), f"image of {names}"),
        "truth": (
            _truth_panel(grey, truth, place.case.truth_ids, shape),
            f"truth outlined on the image: {names}",
        ),
        "prediction": (
            _prediction_panel(truth, pred, place, shape),
            "voxels that truth and prediction share (white), prediction only (orange), "
            f"truth only (blue): {names}",
        ),
    }
    bar_um = _nice_length(width_um)
    pictures = tuple(
        Picture(name, _uri(pixels), shape[1], shape[0], alt)
        for name, (pixels, alt) in panels.items()
    )
    return View(plane, where, pictures, bar_um, bar_um / width_um)


def _grey(image: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = np.percentile(image, (1, 99.8))
    span = max(float(high) - float(low), 1e-6)
    return np.asarray(np.clip((image - float(low)) / span, 0, 1) * 255, np.uint8)


def _truth_panel(
    grey: NDArray[np.uint8], truth: NDArray[np.uint32], ids: tuple[int, ...], shape: tuple[int, ...]
) -> Rgb:
    panel = _enlarged(np.repeat((grey // 2)[..., None], 3, axis=2), shape)
    labels = _enlarged(truth, shape)
    own = np.where(np.isin(labels, ids), labels, 0)
    panel[_outline(np.where(own > 0, 0, labels), 1)] = OTHER
    panel[_outline(own, 2)] = TRUTH_ONLY
    return panel


def _prediction_panel(
    truth: NDArray[np.uint32], pred: NDArray[np.uint32], place: Place, shape: tuple[int, ...]
) -> Rgb:
    t, p = _enlarged(truth, shape), _enlarged(pred, shape)
    true, predicted = np.isin(t, place.case.truth_ids), np.isin(p, place.case.pred_ids)
    panel = np.full((*t.shape, 3), OUTLINE, np.uint8)
    panel[_outline(np.where(predicted, 0, p), 1)] = OTHER
    panel[true & predicted] = BOTH
    panel[~true & predicted] = PREDICTION_ONLY
    panel[true & ~predicted] = TRUTH_ONLY
    # Borders between the objects of either, or merged and split nuclei would look right.
    inside = true | predicted
    panel[_outline(np.where(predicted, p, 0), 1) & inside] = OUTLINE
    panel[_outline(np.where(true, t, 0), 1) & predicted] = (0, 114, 178)
    return panel


def _outline(labels: NDArray[np.uint32], width: int) -> NDArray[np.bool_]:
    from skimage.segmentation import find_boundaries

    edge = np.asarray(find_boundaries(labels, mode="inner"), np.bool_)
    if width > 1:
        from scipy import ndimage

        edge = np.asarray(ndimage.binary_dilation(edge, iterations=width - 1), np.bool_)
        edge &= labels > 0
    return edge


def _enlarged(pixels: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Nearest neighbour, so that voxels stay what they are, at true proportions."""
    rows = np.arange(shape[0]) * pixels.shape[0] // shape[0]
    columns = np.arange(shape[1]) * pixels.shape[1] // shape[1]
    return np.asarray(pixels[rows][:, columns]).copy()


def _nice_length(width_um: float) -> float:
    power = 10.0 ** np.floor(np.log10(width_um / 2))
    return float(max(m * power for m in (1, 2, 5) if m * power <= width_um / 2))


def _uri(pixels: Rgb) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="WEBP", lossless=True, quality=60, method=3)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
