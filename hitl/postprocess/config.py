"""The post-processing of a project as one config section."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from pydantic import field_validator

from hitl.postprocess.masks import clean_masks
from hitl.postprocess.objects import clean_objects
from hitl.project.schema import Frozen
from labels.spacing import Spacing


class PostprocessConfig(Frozen):
    """How masks are cleaned and how wide their edges are.

    Parameters
    ----------
    min_area_px : int
        In each slice, an object of fewer pixels is dropped, and so are pieces of one.
    smooth_kernel_px : int
        Odd width of the window that smooths outlines; 1: none.
    close_radius_px, open_radius_px : int
        Radius of the disks that join fragments and remove thin artefacts; 0: none.
    fill_holes : bool
        Fill holes within a slice.
    pieces : {"keep", "largest", "split"}
        What becomes of an object that is in several pieces in 3D.
    fill_voids : bool
        Fill holes that an object encloses in 3D.
    min_volume_um3 : float
        Objects of less volume are removed.
    edge_width_px : int
        Width of the edge class around each object.
    """

    min_area_px: Annotated[int, Ge(0)] = 20
    smooth_kernel_px: Annotated[int, Ge(1)] = 3
    close_radius_px: Annotated[int, Ge(0)] = 1
    fill_holes: bool = True
    open_radius_px: Annotated[int, Ge(0)] = 1
    pieces: Literal["keep", "largest", "split"] = "keep"
    fill_voids: bool = False
    min_volume_um3: Annotated[float, Ge(0)] = 0.0
    edge_width_px: Annotated[int, Ge(1)] = 1

    @field_validator("smooth_kernel_px")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("expected an odd width (1, 3, 5, …)")
        return value


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
