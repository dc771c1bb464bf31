"""Whole objects in 3D: pieces, small volumes and enclosed voids."""

import numpy as np
import pytest
from numpy.typing import NDArray

from hitl.postprocess.objects import clean_objects
from labels.errors import LabelImageError

SPACING = (5.0, 1.243, 1.243)


def in_pieces() -> NDArray[np.uint32]:
    labels = np.zeros((4, 12, 12), np.uint32)
    labels[0:2, 1:3, 1:3] = 5  # 8 voxels
    labels[2:4, 6:9, 6:9] = 5  # 18 voxels
    labels[3, 0, 11] = 5  # 1 voxel
    labels[1, 3, 3] = 40  # diagonal to the first piece
    return labels


def test_pieces_in_3d_are_kept_dropped_or_parted():
    labels = in_pieces()
    np.testing.assert_array_equal(clean_objects(labels, SPACING), labels)

    largest = clean_objects(labels, SPACING, pieces="largest")
    assert (largest == 5).sum() == 18
    assert (largest == 40).sum() == 1
    assert (largest[2:4, 6:9, 6:9] == 5).all()

    split = clean_objects(labels, SPACING, pieces="split")
    ids, counts = np.unique(split, return_counts=True)
    assert dict(zip(ids[1:].tolist(), counts[1:].tolist(), strict=True)) == {
        5: 18,
        40: 1,
        41: 8,
        42: 1,
    }
    np.testing.assert_array_equal(split > 0, labels > 0)
    labels[labels == 40] = 2**32 - 1
    with pytest.raises(LabelImageError, match="room for 2 new ids"):
        clean_objects(labels, SPACING, pieces="split")


def test_small_volumes_go_by_um():
    labels = in_pieces()
    voxel = 5.0 * 1.243**2
    kept = clean_objects(labels, SPACING, min_volume_um3=1.01 * voxel)
    np.testing.assert_array_equal(kept, np.where(labels == 40, 0, labels))
    np.testing.assert_array_equal(clean_objects(labels, SPACING, min_volume_um3=voxel), labels)
    assert not clean_objects(labels, SPACING, min_volume_um3=28 * voxel).any()
    assert (labels == 40).any()


def test_enclosed_voids_are_filled_innermost_object_first():
    labels = np.zeros((9, 11, 11), np.uint32)
    labels[1:8, 1:10, 1:10] = 70_000
    labels[2:7, 2:9, 2:9] = 0
    labels[3:6, 3:8, 3:8] = 2
    labels[4, 4:7, 4:7] = 0
    labels[8, 5, 5] = 3
    filled = clean_objects(labels, SPACING, fill_holes=True)
    expected = labels.copy()
    expected[2:7, 2:9, 2:9][labels[2:7, 2:9, 2:9] == 0] = 70_000
    expected[4, 4:7, 4:7] = 2
    np.testing.assert_array_equal(filled, expected)
    labels[0:4, 5, 5] = 0  # a channel to outside the outer object
    np.testing.assert_array_equal(
        clean_objects(labels, SPACING, fill_holes=True)[2, 2:4, 2:9], labels[2, 2:4, 2:9]
    )


@pytest.mark.parametrize(
    "options", [{"min_volume_um3": -1}, {"pieces": "none"}, {"spacing_um": (1, 0, 1)}]
)
def test_options_of_whole_objects_are_checked(options):
    spacing = options.pop("spacing_um", SPACING)
    with pytest.raises(ValueError, match="expected"):
        clean_objects(in_pieces(), spacing, **options)
