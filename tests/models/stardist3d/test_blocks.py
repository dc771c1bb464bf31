"""StarDist 3D on stacks cut into tiles: the same objects as in one piece, in bounded memory."""

from __future__ import annotations

import faulthandler
import tracemalloc

import numpy as np
import pytest
import zarr

from models.errors import ImageError, ModelError
from models.stardist3d import blocks, objects, segmenter
from models.stardist3d.batches import PatchCutter, Targets
from models.stardist3d.blocks import NetworkView
from models.stardist3d.runfolder import RunSettings, new_network
from models.stardist3d.runtime import import_stardist
from models.stardist3d.samples import Normalisation, PreparedStack, resampled
from tests.models.stardist3d.tiny_stardist import seed_weights

ANISOTROPY = (2.0, 1.0, 1.0)
SPACING = (2.0, 1.0, 1.0)
THRESHOLDS = {"prob": 0.5, "nms": 0.1}


def nuclei(shape, radius=(3, 6, 6), step=(9, 17, 17), seed=0):
    """Labels of ellipsoids on a jittered lattice, and the same as an image."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint8)
    starts = [range(r, n, s) for r, n, s in zip(radius, shape, step, strict=True)]
    number = 0
    for centre in np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, 3):
        centre = centre + rng.integers(-1, 2, 3)
        grid = np.indices(shape) - centre.reshape(3, 1, 1, 1)
        inside = ((grid / np.reshape(radius, (3, 1, 1, 1))) ** 2).sum(axis=0) <= 1
        number = number % 250 + 1
        labels[inside & (labels == 0)] = number
    return labels


@pytest.fixture(autouse=True)
def watchdog():
    """End the process should StarDist's C++ hang, which no signal handler could interrupt."""
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    stardist = import_stardist()
    config = stardist.models.Config3D(
        rays=stardist.rays.Rays_GoldenSpiral(16, anisotropy=ANISOTROPY),
        anisotropy=ANISOTROPY, grid=(1, 2, 2), unet_n_depth=1, unet_n_filter_base=2,
        net_conv_after_unet=2, unet_n_conv_per_depth=1,
    )  # fmt: skip
    made = new_network(tmp_path_factory.mktemp("network"), config)
    seed_weights(made)
    made.thresholds = dict(THRESHOLDS)
    return made


class Whole(Normalisation):
    """Leaves the image as it is, so that `perfect` can read the labels."""

    def limits(self, image):
        return 0.0, 1.0


@pytest.fixture
def perfect(monkeypatch):
    """Stand in for the network: what a perfect one would say of the labels that it is shown."""

    def candidates(network, image, progress=None, prob_threshold=None, budget=None):
        labels = np.round(image).astype(np.int32)
        stack = PreparedStack("tile", image, labels)
        shape = tuple(-(-n // g) * g for n, g in zip(image.shape, (1, 2, 2), strict=True))
        rays = import_stardist().rays.rays_from_json(network.config.rays_json)
        cutter = PatchCutter(
            [stack], shape, Targets(np.asarray(rays.vertices, float), (1, 2, 2), ANISOTROPY)
        )
        _, prob, dist = cutter.cut(cutter.upright(0, (0, 0, 0)))
        found = prob[..., 0] > 0.8
        points = np.argwhere(found) * (1, 2, 2)
        dist = np.maximum(np.abs(dist[found][:, :-1]), 1e-3)
        return objects.Candidates(prob[found][:, 0], dist, points)

    for module in (segmenter, blocks):
        monkeypatch.setattr(module, "find_candidates", candidates)


def loaded(network, normalisation=None, **settings):
    return segmenter.StarDist3DSegmenter(
        network=network,
        settings=RunSettings(normalisation or Whole(), **settings),
        folder=None,
        weights_sha256="",
    )


def same_objects(a, b):
    """Share of voxels with the same object under the best renaming of ids."""
    pairs, counts = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1, return_counts=True)
    best = {}
    for (one, other), count in zip(pairs.T, counts, strict=True):
        best.setdefault(one, []).append((count, other))
    partner = [max(found)[1] for found in best.values()]
    assert len(set(partner)) == len(partner) == len(np.unique(b))
    return sum(max(found)[0] for found in best.values()) / a.size


def same_confidence(whole, labels, told):
    """Each object of the whole stack has its probability in the tiled answer."""
    for number, prob in whole.confidence.items():
        ids, counts = np.unique(labels[whole.labels == number], return_counts=True)
        assert told.confidence[int(ids[counts.argmax()])] == pytest.approx(prob, abs=1e-4)


def test_many_tiles_and_blocks_give_the_objects_of_the_whole_stack(
    network, perfect, monkeypatch, tmp_path
):
    image = nuclei((14, 60, 110))
    one = loaded(network)
    whole = one.segment(image[None], SPACING)
    stored = zarr.create_array(tmp_path / "image.zarr", data=image[None], chunks=(1, 7, 32, 32))
    sink = zarr.create_array(
        tmp_path / "labels.zarr", shape=image.shape, chunks=(7, 32, 32), dtype="u4"
    )
    seen = []
    monkeypatch.setattr(blocks, "DRAWN_PER_PREDICTED", 1)
    told = one.segment_blocks(
        stored, sink, SPACING, tile_voxels=2**15, progress=lambda *call: seen.append(call)
    )
    labels = np.asarray(sink[:])
    assert len(whole.confidence) > 15 and set(told.confidence) == set(np.unique(labels)) - {0}
    assert same_objects(whole.labels, labels) > 0.9999
    same_confidence(whole, labels, told)
    steps = {what: total for _, total, what in seen}
    assert steps["predicting"] >= 3 and steps["drawing"] > 3


@pytest.mark.parametrize("spacing_um", [None, (2.0, 1.3, 0.8)])
def test_a_real_network_says_the_same_in_tiles_also_when_resampled(network, spacing_um):
    image = np.random.default_rng(0).random((8, 24, 110)).astype(np.float32)
    one = loaded(network, Normalisation(), spacing_um=spacing_um)
    whole = one.segment(image[None], SPACING)
    sink = np.zeros(image.shape, np.uint32)
    seen = []
    told = one.segment_blocks(
        image[None], sink, SPACING, tile_voxels=2**14, progress=lambda *call: seen.append(call)
    )
    assert max(total for _, total, what in seen if what == "predicting") > 1
    assert len(whole.confidence) == len(told.confidence) > 5
    assert same_objects(whole.labels, sink) > 0.999


def test_nothing_found_is_written_as_background(network):
    image = np.random.default_rng(0).random((4, 16, 16)).astype(np.float32)
    network.thresholds = {"prob": 2.0, "nms": 0.3}
    sink = np.ones(image.shape, np.uint32)
    found = loaded(network, Normalisation()).segment_blocks(image[None], sink, SPACING)
    network.thresholds = dict(THRESHOLDS)
    assert found.confidence == {} and not sink.any()


def test_regions_are_those_of_the_resampled_stack():
    image = np.random.default_rng(0).integers(0, 200, (11, 40, 37)).astype(np.uint16)
    scale = (1.0, 0.4, 0.7)
    expected = resampled(Normalisation().apply(image), scale)
    view = NetworkView(image, Normalisation(), scale)
    assert view.shape == expected.shape
    for start, stop in (((0, 0, 0), (11, 16, 26)), ((3, 5, 8), (9, 12, 20))):
        region = view.read(np.array(start), np.array(stop))
        box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        np.testing.assert_allclose(region, expected[box], atol=1e-4)


class Pattern:
    """A stack of any length that repeats itself, and takes any labels, without being held."""

    def __init__(self, length):
        self.tile = nuclei((12, 51, 51))
        self.shape = (12, 51, 51 * length)
        self.largest = 0

    def __getitem__(self, box):
        if box[2].step:
            return self.tile[box]
        found = self.tile[box[0], box[1]][:, :, np.arange(box[2].start, box[2].stop) % 51]
        self.largest = max(self.largest, found.size)
        return found

    def __setitem__(self, box, labels):
        self.largest = max(self.largest, labels.size)


class OneChannel:
    """The stack as an image of one channel."""

    def __init__(self, stack):
        self.stack, self.shape = stack, (1, *stack.shape)

    def __getitem__(self, box):
        assert box[0] == 0
        return self.stack[box[1:]]


def test_memory_does_not_grow_with_the_stack(network, perfect, monkeypatch):
    monkeypatch.setattr(blocks, "DRAWN_PER_PREDICTED", 1)
    monkeypatch.setattr(blocks, "CHECKED_BOX", (12, 51, 51))

    def peak(length):
        stack = Pattern(length)
        tracemalloc.start()
        found = loaded(network).segment_blocks(OneChannel(stack), stack, SPACING, tile_voxels=2**15)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # Margins on both sides and a core as wide as they are: 12 x 51 x (2 x 24 + 48).
        assert stack.largest <= 12 * 51 * 96
        return size, len(found.confidence)

    peak(1)
    (short, few), (long, many) = peak(4), peak(8)
    assert many > 1.5 * few
    assert long < 1.25 * short


def test_lack_of_memory_means_smaller_tiles_and_is_told(network, monkeypatch):
    image = np.random.default_rng(0).random((8, 40, 60)).astype(np.float32)
    one = loaded(network, Normalisation())
    expected = one.segment(image[None], SPACING)
    plain, asked = network.predict_sparse, []

    def scarce(*args, n_tiles, **options):
        asked.append(np.prod(n_tiles))
        if len(asked) < 3:
            lack = import_stardist().tf.errors.ResourceExhaustedError(None, None, "OOM")
            raise (lack if len(asked) == 1 else MemoryError)
        return plain(*args, n_tiles=n_tiles, **options)

    monkeypatch.setattr(network, "predict_sparse", scarce)
    monkeypatch.setattr(objects, "FEWEST_TILE_VOXELS", 2**10)
    found = one.segment(image[None], SPACING)
    assert any(note.startswith("out of memory") for note in found.notes)
    np.testing.assert_array_equal(found.labels > 0, expected.labels > 0)
    asked.clear()
    sink = np.zeros(image.shape, np.uint32)
    told = one.segment_blocks(image[None], sink, SPACING)
    assert [note.startswith("out of memory") for note in told.notes] == [True]
    np.testing.assert_array_equal(sink > 0, expected.labels > 0)
    monkeypatch.setattr(objects, "FEWEST_TILE_VOXELS", 2**20)
    asked.clear()
    with pytest.raises(ModelError, match="OOM"):
        one.segment(image[None], SPACING)


@pytest.mark.parametrize("bad", [np.zeros((4, 8, 8)), np.full((4, 8, 8), np.nan), np.zeros((4, 8))])
def test_bad_stacks_are_refused(network, bad):
    with pytest.raises(ImageError):
        loaded(network, Normalisation()).segment_blocks(bad[None], np.zeros(bad.shape), SPACING)


def test_sink_of_another_shape_is_refused(network):
    with pytest.raises(ImageError, match="make the array anew"):
        loaded(network).segment_blocks(np.eye(3)[None, None], np.zeros((1, 2, 3)), SPACING)
