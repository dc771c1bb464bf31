"""Pictures of a prediction beside the truth, in colours that the colour-blind can tell apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Okabe and Ito's palette (2008): agreement, spurious, missed.
AGREEMENT, SPURIOUS, MISSED = (0.0, 0.62, 0.45), (0.90, 0.62, 0.0), (0.80, 0.47, 0.65)
OUTLINE_TRUTH, OUTLINE_PREDICTION = (0.34, 0.71, 0.91), (0.94, 0.89, 0.26)


def save_comparison(
    path: Path,
    image: NDArray[Any],
    truth: NDArray[np.uint32],
    predictions: dict[str, NDArray[np.uint32]],
    spacing_um: tuple[float, float, float],
    captions: dict[str, str],
) -> None:
    """Draw predictions beside the truth, in the slices that hold most of the truth.

    Each prediction is a row: an xy and an xz slice with outlines, and the same two slices with
    agreeing, spurious and missed voxels.

    Parameters
    ----------
    path : Path
        PNG file to write.
    image : ndarray, shape (Z, Y, X)
    truth : ndarray of uint32, shape (Z, Y, X)
    predictions : dict of str to ndarray of uint32, shape (Z, Y, X)
        By model name.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm; the xz slices are drawn at true proportions.
    captions : dict of str to str
        What to write beside each model's name.
    """
    from matplotlib.figure import Figure

    planes = _planes(image, truth, spacing_um)
    widths = [plane["width_um"] for plane in planes] * 2
    height = max(plane["height_um"] for plane in planes)
    scale = 3.2 / height
    figure = Figure(
        figsize=(sum(widths) * scale + 0.6, (3.6 * len(predictions)) + 0.5), layout="constrained"
    )
    grid = figure.subplots(len(predictions), 4, squeeze=False, width_ratios=widths)
    for row, (name, labels) in zip(grid, predictions.items(), strict=True):
        for column, plane in enumerate(planes):
            found = labels[plane["index"]]
            _show(row[column], _outlined(plane, found), plane)
            _show(row[column + 2], _agreement(plane, found), plane)
            row[column].set_title(f"{plane['name']}: image", fontsize=8)
            row[column + 2].set_title(f"{plane['name']}: voxels", fontsize=8)
        row[0].set_ylabel(f"{name}\n{captions.get(name, '')}", fontsize=9)
    _legend(figure)
    figure.savefig(path, dpi=110)


def _planes(
    image: NDArray[Any], truth: NDArray[np.uint32], spacing_um: tuple[float, float, float]
) -> list[dict[str, Any]]:
    """Take the xy and the xz slice in which the truth covers most voxels."""
    found = truth != 0
    z = int(found.sum(axis=(1, 2)).argmax())
    y = int(found.sum(axis=(0, 2)).argmax())
    low, high = np.percentile(image, (1, 99.7))
    grey = np.clip((image.astype(np.float32) - low) / max(float(high - low), 1e-6), 0, 1)
    dz, dy, dx = spacing_um
    planes = []
    for name, index, down, right in (
        (f"xy, z = {z}", (z, slice(None), slice(None)), dy, dx),
        (f"xz, y = {y}", (slice(None), y, slice(None)), dz, dx),
    ):
        cut = grey[index]
        planes.append(
            {
                "name": name,
                "index": index,
                "image": cut,
                "truth": truth[index],
                "width_um": cut.shape[1] * right,
                "height_um": cut.shape[0] * down,
                "aspect": down / right,
            }
        )
    return planes


def _outlined(plane: dict[str, Any], found: NDArray[np.uint32]) -> NDArray[np.float32]:
    from skimage.segmentation import find_boundaries

    picture = np.repeat(plane["image"][..., None], 3, axis=2).astype(np.float32)
    picture[find_boundaries(plane["truth"], mode="inner")] = OUTLINE_TRUTH
    picture[find_boundaries(found, mode="inner")] = OUTLINE_PREDICTION
    return picture


def _agreement(plane: dict[str, Any], found: NDArray[np.uint32]) -> NDArray[np.float32]:
    from skimage.segmentation import find_boundaries

    true, predicted = plane["truth"] != 0, found != 0
    picture = np.zeros((*true.shape, 3), np.float32)
    picture[true & predicted] = AGREEMENT
    picture[~true & predicted] = SPURIOUS
    picture[true & ~predicted] = MISSED
    # Object borders are drawn too, or merged nuclei would look right.
    picture[find_boundaries(found, mode="inner") & predicted] *= 0.45
    return picture


def _show(axes: Any, picture: NDArray[np.float32], plane: dict[str, Any]) -> None:
    axes.imshow(picture, aspect=plane["aspect"], interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])


def _legend(figure: Any) -> None:
    from matplotlib.patches import Patch

    entries = [
        Patch(color=OUTLINE_TRUTH, label="outline of the truth"),
        Patch(color=OUTLINE_PREDICTION, label="outline of the prediction"),
        Patch(color=AGREEMENT, label="both"),
        Patch(color=SPURIOUS, label="prediction only"),
        Patch(color=MISSED, label="truth only"),
    ]
    figure.legend(handles=entries, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
