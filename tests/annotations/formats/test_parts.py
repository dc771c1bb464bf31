"""Parts of a grey-level mask, and the objects of a mask."""

from __future__ import annotations

from pathlib import Path

import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from annotations.errors import LabelError
from annotations.formats import components, open_labels, select_values, values_in
from annotations.volume import SlabSource


class Planes:
    """Labels of several time points in memory, which says what was read of them."""

    def __init__(self, array: NDArray[np.generic], times: int = 1) -> None:
        self._array, self.times, self.shape = array, times, array.shape
        self.asked: list[tuple[int, int]] = []

    def read(self, z_start: int, z_stop: int) -> NDArray[np.generic]:
        assert 0 <= z_start < z_stop <= self.shape[0]
        self.asked.append((z_start, z_stop))
        return self._array[z_start:z_stop]


masks = hnp.arrays(np.uint8, (6, 5, 4), elements=st.sampled_from([0, 0, 1]))


@settings(max_examples=60, deadline=None)
@given(mask=masks, times=st.sampled_from([1, 2, 3, 6]))
def test_objects_are_those_of_each_time_point(mask: NDArray[np.uint8], times: int) -> None:
    found = components(Planes(mask, times))
    labels = found.read(0, 6)
    assert labels.dtype == np.uint32
    np.testing.assert_array_equal(labels > 0, mask > 0)
    before = 0
    for part, own in zip(np.split(labels, times), np.split(mask, times), strict=True):
        want, count = cc3d.connected_components(own, connectivity=26, return_N=True)
        assert set(np.unique(part)) - {0} == set(range(before + 1, before + count + 1))
        assert len(set(zip(want.ravel(), part.ravel(), strict=True)) - {(0, 0)}) == count
        before += count
    # Whatever is read first.
    again = components(Planes(mask, times))
    np.testing.assert_array_equal(again.read(4, 6), labels[4:])
    np.testing.assert_array_equal(again.read(1, 3), labels[1:3])


def test_pixels_that_touch_at_a_corner_are_one_object() -> None:
    flat = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0], [0, 0, 1]]])
    np.testing.assert_array_equal(np.unique(components(Planes(flat)).read(0, 2)), [0, 1])
    two = components(Planes(flat, 2))
    assert (two.times, two.shape) == (2, (2, 3, 3))
    np.testing.assert_array_equal(np.unique(two.read(1, 2)), [0, 2])
    with pytest.raises(ValueError, match="z_stop <= 2"):
        two.read(0, 3)


def test_a_time_point_is_found_once_when_read_in_order() -> None:
    source = Planes(np.ones((6, 2, 2), np.uint8), 3)
    found = components(source)
    for z in range(6):
        found.read(z, z + 1)
    assert source.asked == [(0, 2), (2, 4), (4, 6)]


def test_values_and_the_part_of_a_class() -> None:
    mask = np.zeros((4, 3, 5), np.uint8)
    mask[0, 0, :2], mask[3, 1, 1] = 255, 128
    source = Planes(mask, 2)
    assert values_in(source) == (0, 128, 255)
    nuclei = select_values(source, [255])
    assert isinstance(nuclei, SlabSource)
    assert nuclei.times == 2
    np.testing.assert_array_equal(nuclei.read(0, 4), mask == 255)
    np.testing.assert_array_equal(select_values(source, {255, 128}).read(2, 4), mask[2:] > 0)
    np.testing.assert_array_equal(select_values(source, (0,)).read(0, 1), mask[:1] == 0)
    assert not select_values(source, [7]).read(0, 4).any()


@pytest.mark.parametrize("values", [[], [-1], [2**32]])
def test_values_that_no_mask_has(values: list[int]) -> None:
    with pytest.raises(LabelError, match="values of a mask from 0 to 4294967295"):
        select_values(Planes(np.zeros((1, 2, 2), np.uint8)), values)


def test_nuclei_and_cytoplasm_of_a_picture(tmp_path: Path) -> None:
    mask = np.zeros((12, 20), np.uint8)
    mask[2:10, 2:8] = mask[2:10, 11:18] = 128
    mask[4:7, 4:6] = mask[4:7, 13:16] = 255
    Image.fromarray(np.dstack([mask] * 3)).save(tmp_path / "mask.png")
    with open_labels(tmp_path / "mask.png") as source:
        nuclei = components(select_values(source, [255])).read(0, 1)[0]
        cytoplasm = select_values(source, [128]).read(0, 1)[0]
    assert np.unique(nuclei).tolist() == [0, 1, 2]
    np.testing.assert_array_equal(nuclei > 0, mask == 255)
    np.testing.assert_array_equal(cytoplasm, mask == 128)
