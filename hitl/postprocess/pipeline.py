"""The config's post-processing of masks, in order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.postprocess.masks import clean_masks
from hitl.postprocess.objects import clean_objects
from hitl.project.processing import PostprocessConfig
from labels.spacing import Spacing


def postprocess(
    labels: NDArray[Any], spacing_um: Spacing, config: PostprocessConfig
) -> NDArray[np.uint32]:
    """Clean masks as a project's config says: slice by slice, then whole objects.

    Parameters
    ----------
    labels : ndarray of integer, shape (Z, Y, X)
        Object ids, 0 is background.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    config : PostprocessConfig

    Returns
    -------
    ndarray of uint32, shape (Z, Y, X)

    Raises
    ------
    LabelImageError
        When `labels` are not ZYX integer ids.
    """
    cleaned = clean_masks(
        labels,
        min_area_px=config.min_area_px,
        smooth_kernel_px=config.smooth_kernel_px,
        close_radius_px=config.close_radius_px,
        fill_holes=config.fill_holes,
        open_radius_px=config.open_radius_px,
    )
    return clean_objects(
        cleaned,
        spacing_um,
        min_volume_um3=config.min_volume_um3,
        pieces=config.pieces,
        fill_holes=config.fill_voids,
    )
