"""Targets: what the network learns, and where it is known."""

from __future__ import annotations

import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.unet3d.targets import (
    EDGE,
    NUCLEUS,
    edge_classes,
    gap_weights,
    make_targets,
    relative_distance,
)
from tests.models.unet3d.volumes import SPACING, nuclei


def two_touching():
    labels = np.zeros((4, 9, 12), np.uint32)
    labels[1:3, 3:7, 2:6] = 5
    labels[1:3, 3:7, 6:10] = 9
    return labels


def test_edge_is_the_shell_in_the_slice_and_the_contact():
    classes = edge_classes(two_touching(), 1)
    assert classes[1].tolist()[4] == [0, 1, 2, 2, 2, 1, 1, 2, 2, 2, 1, 0]
    assert (classes[1, 2, 2:10] == EDGE).all(), "above the objects, in the slice"
    assert (classes[0] == 0).all(), "no edge above the objects along z"
    assert (edge_classes(two_touching(), 2)[1, 1, 2:10] == EDGE).all()


def test_objects_on_top_of_each_other_are_parted():
    labels = np.zeros((6, 5, 5), np.uint32)
    labels[1:3, 1:4, 1:4], labels[3:5, 1:4, 1:4] = 1, 2
    classes = edge_classes(labels, 1)
    assert (classes[3, 1:4, 1:4] == EDGE).all()
    assert (classes[2, 1:4, 1:4] == NUCLEUS).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), ids=st.integers(2, 6))
def test_components_of_the_nucleus_class_never_join_two_objects(seed, ids):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, ids, (3, 3, 3)).astype(np.uint32)
    labels = blocks.repeat(3, 0).repeat(4, 1).repeat(4, 2)
    parts = cc3d.connected_components(edge_classes(labels, 1) == NUCLEUS, connectivity=6)
    for part in range(1, parts.max() + 1):
        assert len(np.unique(labels[parts == part])) == 1


def test_relative_distance_is_one_in_the_middle_of_every_object():
    _, labels = nuclei(0)
    distance = relative_distance(labels, SPACING)
    assert distance.dtype == np.float32
    assert (distance[labels == 0] == 0).all()
    assert (distance[labels > 0] > 0).all()
    for index in range(1, labels.max() + 1):
        assert distance[labels == index].max() == pytest.approx(1)


def test_distance_knows_the_voxel_size_and_not_the_border_of_the_stack():
    labels = np.zeros((5, 1, 9), np.uint32)
    labels[:, :, 2:7] = 1
    got = relative_distance(labels, (1.0, 1.0, 1.0))[0, 0]
    np.testing.assert_allclose(got, [0, 0, 1 / 3, 2 / 3, 1, 2 / 3, 1 / 3, 0, 0], rtol=1e-5)
    labels = np.zeros((5, 9, 9), np.uint32)
    labels[1:4, 1:8, 1:8] = 1
    thin = relative_distance(labels, (0.1, 1.0, 1.0))
    np.testing.assert_allclose(thin[:, 4, 4], [0, 0.5, 1, 0.5, 0], rtol=1e-5)


def test_an_object_that_fills_the_stack_has_a_finite_distance():
    assert np.isfinite(relative_distance(np.ones((3, 4, 4), np.uint32), SPACING)).all()


def test_gap_weights_by_hand():
    labels = np.zeros((1, 1, 30), np.uint32)
    labels[..., 2], labels[..., 6] = 1, 2
    got = gap_weights(labels, (1.0, 1.0, 1.0), amplitude=100, sigma_px=5)[0, 0]
    # Between them d1 + d2 is 4 everywhere; left of them it is d and d + 4.
    np.testing.assert_allclose(got[3:6], 1 + 100 * np.exp(-16 / 50), rtol=1e-5)
    np.testing.assert_allclose(got[1], 1 + 100 * np.exp(-36 / 50), rtol=1e-5)
    assert got[2] == got[6] == 1
    assert got[29] == pytest.approx(1, abs=1e-3)


def test_one_object_alone_has_no_gap():
    labels = np.zeros((3, 9, 9), np.uint32)
    labels[1, 4, 4] = 1
    assert (gap_weights(labels, SPACING) == 1).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_unknown_labels_change_nothing(seed):
    rng = np.random.default_rng(seed)
    _, labels = nuclei(seed, shape=(6, 24, 24), count=5)
    mask = rng.random((2, 3, 3)).repeat(3, 0).repeat(8, 1).repeat(8, 2) < 0.6
    other = np.where(mask, labels, rng.integers(0, 9, labels.shape)).astype(np.uint32)
    one, two = (make_targets(x, mask, SPACING, 1, (100.0, 5.0)) for x in (labels, other))
    for name in vars(one):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert (one.voxels[~mask] == 0).all()


def test_what_depends_on_an_unknown_neighbour_is_not_learned():
    labels = two_touching()
    mask = labels != 9
    targets = make_targets(labels, mask, SPACING, 1)
    # The contact's side in object 5 could be nucleus or edge, and its distances reach into 9.
    assert (targets.voxels[1, 3:7, 5] == 0).all()
    assert (targets.voxels[1, 3:7, 2:5] == 1).all()
    assert (targets.sure[labels == 5] == 0).all()
    assert (targets.sure[labels == 0] == 1).all()


def test_everything_known_counts_everywhere():
    labels = two_touching()
    targets = make_targets(labels, np.ones(labels.shape, bool), SPACING, 1)
    assert (targets.voxels == 1).all()
    assert (targets.sure == 1).all()
    assert (targets.inside == (labels > 0)).all()
