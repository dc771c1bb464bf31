"""What an object looks like: size, shape, contact and outline."""

from __future__ import annotations

import numpy as np
import pytest

from hitl.queue.features import measure, robust_z
from tests.hitl.queue.balls import SHAPE, SPACING_UM, ball, four_balls, image_of


def test_a_ball_fills_its_ellipsoid_and_touches_nothing() -> None:
    labels = four_balls()
    found = measure(labels, image_of(labels), SPACING_UM)
    assert found.ids.tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(found.fill, 1, atol=0.05)
    np.testing.assert_allclose(found.elongation, 1, atol=0.08)
    np.testing.assert_array_equal(found.contact, 0)
    np.testing.assert_array_equal(found.border, 0)
    np.testing.assert_allclose(found.fall, 1)
    np.testing.assert_array_equal(found.pieces, 1)
    np.testing.assert_allclose(found.brightness, 100)
    np.testing.assert_allclose(found.volume_um3, np.bincount(labels.ravel())[1:] * 2)
    np.testing.assert_allclose(found.centre_um[0], (16, 12, 12), atol=1e-6)
    assert labels[tuple(found.inside_zyx[2])] == 3


def test_in_one_slice_a_disc_fills_its_ellipse_and_no_face_is_a_border() -> None:
    middle = four_balls()[8:9]
    # However thick the slice is said to be.
    for spacing_um in ((0.1, 1.0, 1.0), (30.0, 1.0, 1.0)):
        found = measure(middle, image_of(middle), spacing_um)
        np.testing.assert_allclose(found.fill, 1, atol=0.05)
        np.testing.assert_allclose(found.elongation, 1, atol=0.08)
        np.testing.assert_array_equal(found.border, 0)
        np.testing.assert_allclose(found.fall, 1)
    notched = middle.copy()
    notched[0, 44:52, 48:] = 0
    assert measure(notched, image_of(notched), SPACING_UM).fill[3] < 0.9


def test_a_notched_long_or_broken_object_shows() -> None:
    labels = four_balls()
    ball(labels, (8, 48, 28), 3)  # A dumbbell of two nuclei.
    labels[:, 46:51, 17:23] = 0  # Now in two pieces but for its neighbours in x.
    found = measure(labels, image_of(labels), SPACING_UM)
    assert found.fill[2] < 0.8
    assert found.elongation[2] > 1.5
    ring = np.zeros(SHAPE, np.uint32)
    ring[2, 2, 2] = ring[9, 9, 9] = 7
    assert measure(ring, image_of(ring), SPACING_UM).pieces.tolist() == [2]


def test_contact_is_the_share_of_the_surface_in_um() -> None:
    labels = np.zeros((4, 6, 6), np.uint32)
    labels[1:3, 1:3, 1:3], labels[1:3, 1:3, 3:5] = 1, 2
    found = measure(labels, image_of(labels), SPACING_UM)
    # Faces of a 4 × 2 × 2 µm box: 2 × 4 and 4 × 8 µm²; one of 8 µm² is shared.
    np.testing.assert_allclose(found.contact, 8 / 40)
    labels[0, 1:3, 1:3] = 1
    assert measure(labels, image_of(labels), SPACING_UM).border[0] == pytest.approx(4 / 56)


def test_objects_that_shape_others_are_measured_the_same_however_ids_are_given() -> None:
    labels = four_balls()
    far = np.array([0, 40, 7, 4_000_000_000, 12], np.uint32)[labels]
    a, b = (measure(v, image_of(labels), SPACING_UM) for v in (labels, far))
    assert b.ids.tolist() == [7, 12, 40, 4_000_000_000]
    np.testing.assert_allclose(np.sort(a.fill), np.sort(b.fill))


def test_few_objects_have_no_outliers() -> None:
    np.testing.assert_array_equal(robust_z(np.array([1.0, 2.0, 900.0])), 0)
    assert robust_z(np.array([1.0, 1.1, 0.9, 1.0, 1.05, 5.0]))[-1] > 3
