"""From maps to objects."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from models.objects import mean_inside
from models.unet3d.instances import (
    Basins,
    InstanceSettings,
    Labelled,
    detection_f1,
    drop_small,
    label_objects,
    nucleus_components,
    tune,
)
from models.unet3d.targets import edge_classes, relative_distance
from tests.models.unet3d.volumes import SPACING, nuclei


def perfect_maps(labels, sharpness=0.9):
    """The maps of a network that is right everywhere."""
    classes = edge_classes(labels, 1)
    rest = (1 - sharpness) / 2
    maps = np.stack([np.where(classes == c, sharpness, rest) for c in range(3)])
    inside = np.where(labels > 0, sharpness, 1 - sharpness)
    both = [inside, relative_distance(labels, SPACING)]
    return np.concatenate([maps, both]).astype(np.float32)


def touching():
    """Two ellipsoids that touch, in one slab."""
    z, y, x = np.ogrid[:11, :30, :50]
    first = ((z - 5) / 3) ** 2 + ((y - 15) / 8) ** 2 + ((x - 16) / 9) ** 2
    second = ((z - 5) / 3) ** 2 + ((y - 15) / 8) ** 2 + ((x - 33) / 9) ** 2
    return np.where((first <= 1) & (first <= second), 1, np.where(second <= 1, 2, 0)).astype("u4")


def everywhere(labels):
    return np.ones(labels.shape, bool)


@pytest.mark.parametrize("method", ["watershed", "components"])
def test_perfect_maps_give_the_objects_back(method):
    for labels in (nuclei(0)[1], touching()):
        got = label_objects(perfect_maps(labels), SPACING, InstanceSettings(method=method))
        assert got.dtype == np.uint32
        assert sorted(np.unique(got)) == list(range(len(np.unique(labels))))
        assert detection_f1(labels, got, everywhere(labels), (0.9,)) == 1


def test_components_grow_back_into_their_contact():
    labels = touching()
    maps = perfect_maps(labels)
    got = nucleus_components(maps, SPACING, 0.5)
    assert ((got > 0) == (labels > 0)).all()
    assert (maps[2] > 0.5).sum() < (labels > 0).sum()


def test_one_missed_edge_voxel_merges_components_but_not_the_watershed():
    labels = touching()
    maps = perfect_maps(labels)
    contact = np.argwhere((maps[1] > 0.5) & (labels > 0))
    z, y, x = contact[len(contact) // 2]
    maps[:3, z, y, x - 2 : x + 3] = np.array([0.05, 0.05, 0.9])[:, None]
    one = label_objects(maps, SPACING, InstanceSettings(method="components"))
    two = label_objects(maps, SPACING, InstanceSettings(method="watershed"))
    assert (one.max(), two.max()) == (1, 2)


def test_two_noisy_peaks_in_one_object_are_merged_and_a_deep_saddle_is_kept():
    labels = touching()
    maps = perfect_maps(labels)
    maps[4] += np.random.default_rng(0).normal(0, 0.08, labels.shape).astype(np.float32)
    basins = Basins(maps, SPACING, 0.5)
    assert len(basins.peaks) > 3, "the noise gives too many peaks"
    assert len(np.unique(basins.merged(0.3))) == 3
    assert len(np.unique(basins.merged(0.0))) == len(basins.peaks)
    assert len(np.unique(basins.merged(1.0))) == 2


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), depth=st.floats(0, 1), deeper=st.floats(0, 1))
def test_merging_only_joins_and_more_depth_joins_more(seed, depth, deeper):
    rng = np.random.default_rng(seed)
    maps = np.stack([ndimage.gaussian_filter(rng.random((6, 14, 14)), 1.0) for _ in range(5)])
    maps = ((maps - 0.3) / 0.4).clip(0, 1).astype(np.float32)
    basins = Basins(maps, SPACING, 0.5)
    low, high = (basins.merged(d) for d in sorted((depth, deeper)))
    for labels in (low, high):
        assert ((labels > 0) == (basins.labels > 0)).all()
        for basin in range(1, len(basins.peaks)):
            assert len(np.unique(labels[basins.labels == basin])) == 1
    assert len(np.unique(high)) <= len(np.unique(low))


def test_empty_maps_have_no_objects():
    maps = np.zeros((5, 3, 8, 8), np.float32)
    maps[0] = 1
    for method in ("watershed", "components"):
        assert not label_objects(maps, SPACING, InstanceSettings(method=method)).any()


def test_small_objects_are_dropped_by_volume():
    labels = np.zeros((4, 10, 10), np.uint32)
    labels[1, 1, 1:4], labels[2, 5:9, 5:9] = 7, 3
    assert drop_small(labels, 4).max() == 1
    assert (drop_small(labels, 4) > 0).sum() == 16
    assert drop_small(labels, 3).max() == 2
    kept = label_objects(
        perfect_maps(labels), SPACING, InstanceSettings(method="components", min_volume_um3=9)
    )
    assert (kept > 0).sum() == 16


def test_an_object_that_the_border_cuts_may_be_a_third_as_large():
    labels = np.zeros((4, 10, 10), np.uint32)
    labels[1, 0, 1:5], labels[1, 5, 1:5] = 1, 2
    assert drop_small(labels, 4).max() == 2
    np.testing.assert_array_equal(drop_small(labels, 12), labels == 1)
    assert drop_small(labels, 13).max() == 0


def test_confidence_is_the_mean_probability():
    labels = np.array([[[1, 1, 0, 2]]], np.uint32)
    probability = np.array([[[0.5, 1.0, 0.1, 0.25]]], np.float32)
    assert mean_inside(labels, probability) == {1: 0.75, 2: 0.25}


def test_f1_by_hand():
    truth = np.zeros((1, 4, 12), np.uint32)
    truth[0, :, :4], truth[0, :, 4:8] = 1, 2
    found = np.zeros_like(truth)
    found[0, :, :3], found[0, :, 9:11] = 5, 6
    # One found at IoU 12 / 16, one missed, one spurious.
    assert detection_f1(truth, found, everywhere(truth)) == pytest.approx(2 / 4)
    assert detection_f1(truth, found, everywhere(truth), (0.5, 0.8)) == pytest.approx(1 / 4)
    known = everywhere(truth)
    known[..., 8:] = False
    assert detection_f1(truth, found, known) == pytest.approx(2 / 3)
    assert detection_f1(truth * 0, truth * 0, known) == 1


def test_tuning_finds_the_depth_that_noise_needs():
    truth = touching()
    maps = perfect_maps(truth)
    maps[4] += np.random.default_rng(0).normal(0, 0.1, truth.shape).astype(np.float32)
    volumes = [Labelled(maps, truth, everywhere(truth))]
    chosen, f1 = tune(volumes, SPACING, InstanceSettings(min_volume_um3=0.0))
    assert f1 == 1
    got = label_objects(maps, SPACING, chosen)
    assert detection_f1(truth, got, everywhere(truth)) == 1
    shallow = InstanceSettings(depth=0.0)
    assert detection_f1(truth, label_objects(maps, SPACING, shallow), everywhere(truth)) < 1


def test_where_objects_do_not_decide_the_usual_thresholds_stay():
    truth = touching()
    volumes = [Labelled(perfect_maps(truth), truth, everywhere(truth))]
    for foreground, depth in ((0.5, 0.2), (0.65, 0.3), (0.8, 0.45)):
        usual = InstanceSettings(foreground=foreground, depth=depth, min_volume_um3=2.0)
        assert tune(volumes, SPACING, usual) == (usual, 1.0)
