"""The obvious loop over objects × slices on full-slice binary masks, as a reference."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import disk


def clean_masks_reference(
    labels: NDArray[np.uint32],
    *,
    min_area_px: int = 20,
    smooth_kernel_px: int = 3,
    close_radius_px: int = 1,
    fill_holes: bool = True,
    open_radius_px: int = 1,
) -> NDArray[np.uint32]:
    """Clean each object in each slice; see `hitl.postprocess.masks.clean_masks`."""
    out = np.zeros_like(labels)
    for label in np.unique(labels[labels > 0]):
        for z in range(labels.shape[0]):
            own = labels[z] == label
            if not own.any() or own.sum() < min_area_px:
                continue
            mask = own.astype(np.uint8)
            if smooth_kernel_px > 1:
                mask = cv2.medianBlur(mask, smooth_kernel_px)
            if close_radius_px:
                mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disk(close_radius_px))
            if fill_holes:
                mask = ndimage.binary_fill_holes(mask).astype(np.uint8)
            if open_radius_px:
                mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, disk(open_radius_px))
            _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
            keep = stats[:, cv2.CC_STAT_AREA] >= min_area_px
            keep[0] = False
            claimed = keep[pieces]
            out[z][claimed & (own | (out[z] == 0))] = label
    return out


def edge_class_reference(
    labels: NDArray[np.uint32], *, width_px: int = 1, contact: str = "edge"
) -> NDArray[np.uint8]:
    """Edge of each object in each slice; see `hitl.postprocess.masks.edge_class`."""
    out = np.where(labels > 0, 2, 0).astype(np.uint8)
    for label in np.unique(labels[labels > 0]):
        for z in range(labels.shape[0]):
            own = labels[z] == label
            if not own.any():
                continue
            edge = (cv2.dilate(own.astype(np.uint8), disk(width_px)) > 0) & ~own
            if contact == "nucleus":
                edge &= labels[z] == 0
            out[z][edge] = 1
    return out
