"""Labels of a series are planes: indexed as an array (T·Z, Y, X) would be, chunk by chunk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from annotations._chunks import chunks_meeting, whole
from annotations._storage import parse_location
from annotations.layout import CHUNKS, chunk_shape
from annotations.planes import ImageOfTime, Planes
from tests.annotations.store_sources import noise, planes_of

SIZES = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 7), st.integers(1, 5))
"""(T, Z, Y, X)."""

MEMORY = parse_location("memory:planes")


@st.composite
def series(draw: st.DrawFn) -> tuple[NDArray[np.uint32], Planes]:
    """An array (T·Z, Y, X), and planes that hold it in chunks whose depth divides Z."""
    times, depth, height, width = draw(SIZES)
    chunk = draw(st.sampled_from([n for n in range(1, depth + 1) if depth % n == 0]))
    chunks = (chunk, draw(st.integers(1, height)), draw(st.integers(1, width)))
    size = times * depth, height, width
    array = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 9, size).astype(np.uint32)
    return array, planes_of(array, chunks, times)


def keys(shape: tuple[int, ...], most_step: int = 1) -> st.SearchStrategy[tuple[Any, ...]]:
    """What an array may be indexed with: slices, some of them empty, and positions."""
    axes = []
    for size in shape:
        ends = st.one_of(st.none(), st.integers(-size - 1, size + 1))
        steps = st.one_of(st.none(), st.integers(1, most_step))
        axes.append(st.one_of(st.builds(slice, ends, ends, steps), st.integers(-size, size - 1)))
    return st.tuples(*axes)


@settings(max_examples=120, deadline=None)
@given(st.data(), series())
def test_planes_are_read_as_an_array_is(data: st.DataObject, held: tuple) -> None:
    array, planes = held
    key = data.draw(keys(array.shape, most_step=3))
    assert planes.shape == array.shape
    assert np.array_equal(planes[key], array[key])
    assert planes[key].shape == array[key].shape
    assert np.array_equal(planes[key[0]], array[key[0]])
    assert np.array_equal(planes[..., key[2]], array[..., key[2]])
    assert np.array_equal(np.asarray(planes), array)


@settings(max_examples=60, deadline=None)
@given(st.data(), series())
def test_planes_are_written_as_an_array_is(data: st.DataObject, held: tuple) -> None:
    array, planes = held
    key = tuple(
        k if isinstance(k, slice) else slice(k, k + 1 or None) for k in data.draw(keys(array.shape))
    )
    values = np.full(array[key].shape, 77) if data.draw(st.booleans()) else 77
    array[key] = values
    planes[key] = values
    assert np.array_equal(planes[...], array)


@settings(max_examples=40, deadline=None)
@given(st.data(), series())
def test_one_time_point_is_a_part_of_the_planes(data: st.DataObject, held: tuple) -> None:
    array, planes = held
    time = data.draw(st.sampled_from(planes.times))
    one = Planes(planes._array, MEMORY, time)
    place = slice(time * planes.depth, (time + 1) * planes.depth)
    assert np.array_equal(one[...], array[place])
    one[0] = 5
    assert np.all(planes[place.start] == 5)
    assert one.time_of(planes.depth - 1) == (time, planes.depth - 1)
    assert planes.time_of(place.start) == (time, 0)


@settings(max_examples=40, deadline=None)
@given(series())
def test_chunks_of_the_array_are_chunks_of_the_planes(held: tuple) -> None:
    array, planes = held
    z, y, x = planes.chunks
    for place in chunks_meeting(planes, [whole(planes.shape)]):
        time, z_start = planes.time_of(place[0].start)
        index = (time, z_start // z, place[1].start // y, place[2].start // x)
        assert planes.chunk_of(index) == (place[0].start // z, *index[2:])
        only = Planes(planes._array, MEMORY, time)
        assert only.chunk_of(index) == (z_start // z, *index[2:])
        others = [Planes(planes._array, MEMORY, t) for t in planes.times if t != time]
        assert [other.chunk_of(index) for other in others] == [None] * len(others)
    assert (
        sum(
            np.empty(array.shape, bool)[place].size
            for place in chunks_meeting(planes, [whole(planes.shape)])
        )
        == array.size
    )


@pytest.mark.parametrize("key", [6, -7, (0, 4), (0, 0, 0, 0), np.s_[::-1], np.s_[:, ::0]])
def test_what_an_array_refuses_planes_refuse(key: Any) -> None:
    with pytest.raises((IndexError, ValueError)):
        planes_of(np.zeros((6, 4, 5), np.uint32), (3, 4, 5), 2)[key]


def test_nothing_is_written_between_the_slices_of_a_step() -> None:
    planes = planes_of(np.zeros((6, 4, 5), np.uint32), (3, 4, 5), 2)
    for key in (np.s_[::2], np.s_[:, ::2], np.s_[:, :, 1::3]):
        with pytest.raises(IndexError, match="step 1"):
            planes[key] = 1
    assert not planes[...].any()


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 30), st.integers(1, 300), st.integers(1, 3000), st.integers(1, 3000))
def test_the_depth_of_a_chunk_divides_that_of_a_series(t: int, z: int, y: int, x: int) -> None:
    chunk = chunk_shape(t, (z, y, x))
    assert z % chunk[0] == 0
    assert all(1 <= c <= n for c, n in zip(chunk, (z, y, x), strict=True))
    assert min(z, 8) <= chunk[0]
    # A chunk is no larger than that of a stack, but where only a deep one divides Z.
    assert np.prod(chunk) <= np.prod(CHUNKS) or chunk[0] > CHUNKS[0]


def test_flat_images_have_wide_chunks() -> None:
    assert chunk_shape(1, (1, 2000, 2000)) == (1, 512, 512)
    assert chunk_shape(1, (200, 800, 800)) == CHUNKS
    assert chunk_shape(1, (20, 40, 30)) == (16, 40, 30)
    assert chunk_shape(11, (20, 400, 300)) == (20, 128, 128)
    assert chunk_shape(11, (32, 400, 300)) == CHUNKS


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from([None, "max", "mean"]), st.sampled_from(["u1", "i2", "f4"]))
def test_an_image_is_read_at_one_time_point(
    data: st.DataObject, projection: str | None, dtype: str
) -> None:
    image = (noise((3, 2, 5, 6, 4), "int64") - (90 if dtype != "u1" else 0)).astype(dtype)
    held = zarr.create_array({}, shape=image.shape, chunks=(1, 1, 2, 3, 4), dtype=dtype)
    held[...] = image
    time = data.draw(st.integers(0, 2))
    found = ImageOfTime(held, MEMORY, time, projection)
    expected = image[time]
    if projection == "max":
        expected = expected.max(axis=1, keepdims=True)
    elif projection == "mean":
        mean = expected.mean(axis=1, keepdims=True, dtype=np.float64)
        expected = (mean if dtype == "f4" else np.rint(mean)).astype(dtype)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    key = data.draw(keys(expected.shape, most_step=2))
    assert np.array_equal(found[key], expected[key])
    assert found[key].dtype == dtype
