"""A picture of a synthetic stack: slices along z and y, plain and with the truth's outlines."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.synthetic.stack import SyntheticStack

_WIDEST = 1600
_OUTLINE = (233, 180, 86)  # Blue, green, red: Okabe and Ito's sky blue (2008).
_GAP = 4


def preview_png(stack: SyntheticStack) -> bytes:
    """Return a PNG of three xy slices and one xz slice, with the outlines below.

    Parameters
    ----------
    stack : SyntheticStack
    """
    low, high = (float(v) for v in np.percentile(stack.image, [1, 99.8]))
    grey = (stack.image.astype(np.float32) - low) * (255 / max(high - low, 1e-6))
    shades = np.clip(grey, 0, 255).astype(np.uint8)
    depth, height, _ = stack.labels.shape
    cuts: list[Any] = [int(depth * share) for share in (0.25, 0.5, 0.75)]
    stretch = stack.spacing_um[0] / stack.spacing_um[2]
    columns = [
        np.vstack([_panel(shades[z], None), _panel(shades[z], stack.labels[z])]) for z in cuts
    ]
    y = height // 2
    side = [_panel(shades[:, y], None, stretch), _panel(shades[:, y], stack.labels[:, y], stretch)]
    columns.append(np.vstack([_padded(panel, height + _GAP) for panel in side]))
    tallest = max(len(column) for column in columns)
    sheet = np.hstack([_padded(column, tallest) for column in columns])
    if sheet.shape[1] > _WIDEST:
        scale = _WIDEST / sheet.shape[1]
        sheet = cv2.resize(sheet, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".png", sheet)
    assert done, "a PNG of bytes can always be made"
    return bytes(data.tobytes())


def _panel(
    shades: NDArray[np.uint8], labels: NDArray[np.uint32] | None, stretch: float = 1.0
) -> NDArray[np.uint8]:
    colours = np.repeat(shades[..., None], 3, axis=2)
    if labels is not None:
        edge = np.zeros(labels.shape, np.bool_)
        edge[1:] |= labels[1:] != labels[:-1]
        edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
        colours[edge] = _OUTLINE
    rows = max(1, round(len(colours) * stretch))
    colours = cv2.resize(colours, (colours.shape[1], rows), interpolation=cv2.INTER_NEAREST)
    return np.pad(colours, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=64)


def _padded(panel: NDArray[np.uint8], rows: int) -> NDArray[np.uint8]:
    missing = max(0, rows - len(panel))
    return np.pad(panel, ((0, missing), (0, 0), (0, 0)), constant_values=64)
