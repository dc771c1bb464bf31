"""Tiled prediction: nothing lost, nothing twice, and no seams."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from models.tiling import (
    Tiling,
    blending_weights,
    fitted_tile,
    predict_tiled,
    read_reflected,
    tile_starts,
)


def channels_of(tiles):
    """Two outputs: the tile of one channel itself, and its negative."""
    return np.concatenate([tiles, -tiles], axis=1)


def blurred(tiles):
    """A model that looks two voxels around, with zeros beyond the tile."""
    return np.stack([[ndimage.uniform_filter(c, 5, mode="constant") for c in t] for t in tiles])


class WriteOnce:
    """A sink that, like a zarr array, is written by slabs; refuses to be written twice."""

    def __init__(self, channels, shape):
        self.array = np.full((channels, *shape), np.nan, np.float32)
        self.next = 0

    def __setitem__(self, key, value):
        assert key[1].start == self.next
        self.next = key[1].stop
        self.array[key] = value


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 13)] * 3),
    tile=st.tuples(*[st.integers(1, 9)] * 3),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.75]),
    border=st.integers(0, 2),
    batch=st.integers(1, 5),
)
def test_every_voxel_is_written_once_and_is_itself(shape, tile, overlap, border, batch):
    image = np.random.default_rng(0).random(shape, np.float32)
    border = tuple(min(border, t - 1) for t in tile)
    sink = WriteOnce(2, shape)
    tiling = Tiling(tile=tile, overlap=overlap, border=border, batch_size=batch)
    predict_tiled(channels_of, image[None], 2, tiling, out=sink)
    assert sink.next == shape[0]
    np.testing.assert_allclose(sink.array, [image, -image], rtol=1e-5)


@given(
    length=st.integers(1, 200),
    tile=st.integers(1, 64),
    overlap=st.floats(0, 0.75),
    border=st.integers(0, 8),
)
def test_tiles_cover_the_line_and_overlap_enough(length, tile, overlap, border):
    starts = tile_starts(length, tile, overlap, border)
    if len(starts) == 1:
        assert starts[0] <= 0 <= length <= starts[0] + tile
        return
    assert starts[0] == -border
    assert starts[-1] + tile == length + border
    steps = np.diff(starts)
    assert (steps <= max(1, int(tile * (1 - overlap))) + 1).all()
    assert (steps >= 0).all()


def test_tiles_agree_with_the_whole_volume_whatever_their_size():
    image = ndimage.gaussian_filter(np.random.default_rng(1).random((14, 40, 44)), 1.0)
    image = image.astype(np.float32)
    whole = ndimage.uniform_filter(image, 5, mode="mirror")
    for tile in ((14, 24, 24), (12, 32, 20), (14, 40, 44)):
        tiling = Tiling(tile=tile, overlap=0.5, border=(3, 3, 3))
        got = predict_tiled(blurred, image[None], 1, tiling)
        assert np.abs(got[0] - whole).max() < 0.03 * whole.mean()


def test_without_blending_the_same_model_leaves_seams():
    # The test above can fail: a tile's rim, where the model sees zeros, is far off.
    image = np.ones((6, 30, 30), np.float32)
    got = predict_tiled(blurred, image[None], 1, Tiling(tile=(6, 15, 15), overlap=0.0))
    assert np.abs(got[0, 3, 12:18, 12:18] - 1).max() > 0.1


def test_a_volume_smaller_than_the_tile():
    image = np.arange(24, dtype=np.float32).reshape(1, 4, 6)
    seen = []

    def predict(tiles):
        seen.append(tiles.shape)
        return tiles

    got = predict_tiled(predict, image[None], 1, Tiling(tile=(8, 16, 16)))
    assert seen == [(1, 1, 8, 16, 16)]
    np.testing.assert_allclose(got[0], image, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    start=st.tuples(*[st.integers(-7, 5)] * 3),
    size=st.tuples(*[st.integers(8, 12)] * 3),
)
def test_reading_past_the_border_reflects(shape, start, size):
    image = np.arange(2 * np.prod(shape), dtype=np.float32).reshape(2, *shape)
    got = read_reflected(image, start, size)
    pads = [
        (max(-s, 0), max(s + n - length, 0))
        for s, n, length in zip(start, size, shape, strict=True)
    ]
    # numpy has nothing to reflect in an axis of one voxel and repeats it.
    padded = np.pad(image, [(0, 0), *pads], mode="reflect")
    origin = [s + before for s, (before, _) in zip(start, pads, strict=True)]
    box = tuple(slice(o, o + n) for o, n in zip(origin, size, strict=True))
    np.testing.assert_array_equal(got, padded[:, *box])


def test_only_what_a_tile_needs_is_read_and_one_slab_is_held():
    class Reader:
        shape = (1, 64, 8, 8)
        largest = 0

        def __getitem__(self, key):
            block = np.zeros(
                [len(range(*s.indices(n))) for s, n in zip(key, self.shape, strict=True)]
            )
            Reader.largest = max(Reader.largest, block.size)
            return block

    predict_tiled(
        channels_of,
        Reader(),
        2,
        Tiling(tile=(8, 8, 8), border=(2, 0, 0)),
        out=WriteOnce(2, (64, 8, 8)),
    )
    assert Reader.largest <= 8 * 8 * 8


def test_zarr_in_and_out(tmp_path):
    zarr = pytest.importorskip("zarr")
    image = np.random.default_rng(2).integers(0, 255, (1, 9, 20, 17)).astype(np.uint8)
    source = zarr.create_array(tmp_path / "in.zarr", shape=image.shape, dtype="u1")
    source[:] = image
    out = zarr.create_array(tmp_path / "out.zarr", shape=(2, *image.shape[1:]), dtype="f4")
    predict_tiled(channels_of, source, 2, Tiling(tile=(4, 8, 8)), out=out)
    np.testing.assert_allclose(out[:], [image[0], -image[0].astype(float)], rtol=1e-5)


def test_a_model_sees_all_channels_of_the_same_place():
    image = np.random.default_rng(3).random((3, 6, 20, 20), np.float32)
    got = predict_tiled(
        lambda tiles: tiles.sum(axis=1, keepdims=True), image, 1, Tiling(tile=(4, 8, 8))
    )
    np.testing.assert_allclose(got[0], image.sum(axis=0), rtol=1e-5)


def test_progress_counts_tiles_and_can_cancel():
    image, tiling = np.zeros((1, 4, 16, 16), np.float32), Tiling(tile=(4, 8, 8), overlap=0.0)
    calls = []
    predict_tiled(channels_of, image, 2, tiling, progress=lambda *call: calls.append(call[:2]))
    assert calls == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]

    def cancel(done, total, what):
        if done == 2:
            raise KeyboardInterrupt

    predicted = []

    def predict(tiles):
        predicted.append(len(tiles))
        return channels_of(tiles)

    with pytest.raises(KeyboardInterrupt):
        predict_tiled(predict, image, 2, tiling, progress=cancel)
    assert predicted == [1, 1]


@given(
    shape=st.tuples(*[st.integers(1, 300)] * 3),
    multiple=st.tuples(*[st.sampled_from([1, 2, 8])] * 3),
    voxels=st.integers(512, 100_000),
)
def test_a_fitted_tile_fits(shape, multiple, voxels):
    tile = fitted_tile(shape, multiple, voxels)
    assert all(t % m == 0 for t, m in zip(tile, multiple, strict=True))
    assert np.prod(tile) <= max(voxels, np.prod(multiple))
    assert all(t < n + m for t, n, m in zip(tile, shape, multiple, strict=True))


def test_weights_are_highest_in_the_middle_and_never_zero():
    weights = blending_weights((5, 9, 9))
    assert weights.shape == (5, 9, 9)
    assert weights[2, 4, 4] == weights.max() == 1
    assert weights.min() > 0
    for flips in itertools.product((1, -1), repeat=3):
        np.testing.assert_array_equal(weights, weights[tuple(slice(None, None, f) for f in flips)])


@pytest.mark.parametrize("wrong", [{"tile": (0, 8, 8)}, {"overlap": 1.0}, {"batch_size": 0},
                                   {"border": (8, 0, 0)}])  # fmt: skip
def test_a_senseless_tiling_is_refused(wrong):
    with pytest.raises(ValueError, match="expected a tile"):
        Tiling(**{"tile": (8, 8, 8), **wrong})
