"""The config's post-processing of masks."""

import numpy as np
import pytest
from pydantic import ValidationError

from hitl.postprocess.masks import clean_masks
from hitl.postprocess.objects import clean_objects
from hitl.postprocess.pipeline import postprocess
from hitl.project.processing import PostprocessConfig
from scripts.bench_postprocess import synthetic_nuclei

SPACING = (5.0, 1.243, 1.243)


def test_the_config_reaches_every_step():
    labels = synthetic_nuclei(10, (9, 50, 50), seed=2)
    labels[0, :6, :6] = 1
    config = PostprocessConfig(
        min_area_px=9,
        smooth_kernel_px=5,
        close_radius_px=2,
        fill_holes=False,
        open_radius_px=2,
        pieces="split",
        fill_voids=True,
        min_volume_um3=500.0,
    )
    flat = clean_masks(
        labels,
        min_area_px=9,
        smooth_kernel_px=5,
        close_radius_px=2,
        fill_holes=False,
        open_radius_px=2,
    )
    expected = clean_objects(flat, SPACING, min_volume_um3=500.0, pieces="split", fill_holes=True)
    np.testing.assert_array_equal(postprocess(labels, SPACING, config), expected)
    np.testing.assert_array_equal(
        postprocess(labels, SPACING, PostprocessConfig()), clean_masks(labels)
    )
    with pytest.raises(ValidationError):
        PostprocessConfig(min_area=3)
