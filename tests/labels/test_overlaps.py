"""The contingency table against a plain count, from memory and from zarr, whole and in blocks."""

from __future__ import annotations

from operator import attrgetter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl.evaluation.metrics.all_metrics import score
from hitl.evaluation.metrics.overlap_score import overlap_scores
from hitl.project.plain import plain
from labels import blocks, kernels
from labels.errors import LabelImageError
from labels.overlaps import count_overlaps
from tests.hitl.evaluation.label_pairs import blobs, label_pairs


def naive_table(truth, pred):
    pairs, counts = np.unique(
        np.stack([truth.ravel(), pred.ravel()], axis=1), axis=0, return_counts=True
    )
    return {(int(a), int(b)): int(n) for (a, b), n in zip(pairs, counts, strict=True) if a and b}


def pairs_of(found):
    keys = zip(found.truth.ids[found.i].tolist(), found.pred.ids[found.j].tolist(), strict=True)
    return dict(zip(keys, found.count.tolist(), strict=True))


def check_objects(image, ids, sizes, boxes, centroids):
    assert ids.tolist() == [i for i in np.unique(image).tolist() if i]
    for n, i in enumerate(ids):
        where = np.argwhere(image == i)
        assert sizes[n] == len(where)
        assert boxes[n].tolist() == np.stack([where.min(0), where.max(0) + 1], 1).tolist()
        assert centroids[n] == pytest.approx(where.mean(0))


@settings(deadline=None)
@given(label_pairs(), st.integers(1, 3))
def test_table_holds_what_a_plain_count_finds(images, workers):
    truth, pred = images
    found = count_overlaps(truth, pred, workers=workers)
    assert pairs_of(found) == naive_table(truth, pred)
    check_objects(
        truth, found.truth.ids, found.truth.sizes, found.truth.boxes, found.truth.centroids
    )
    check_objects(pred, found.pred.ids, found.pred.sizes, found.pred.boxes, found.pred.centroids)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", ">u4", ">i8"])
def test_every_integer_dtype_and_layout(dtype):
    truth, pred = (image.astype(dtype) for image in blobs(0, n=20))
    expected = naive_table(*blobs(0, n=20))
    assert pairs_of(count_overlaps(truth, pred)) == expected
    turned = truth.transpose(2, 1, 0)
    assert pairs_of(count_overlaps(turned, np.asfortranarray(pred).transpose(2, 1, 0))) == expected
    truth.flags.writeable = False
    assert pairs_of(count_overlaps(truth, pred.astype("u4"))) == expected


def test_sparse_and_large_ids():
    truth, pred = blobs(1)
    spread = (np.arange(26, dtype=np.uint64) * 171_798_691).astype(np.uint32)
    spread[25] = 2**32 - 1
    found = count_overlaps(spread[truth], pred)
    expected = {(int(spread[a]), b): n for (a, b), n in naive_table(truth, pred).items()}
    assert pairs_of(found) == expected
    wide = truth.astype(np.int64) * (2**50)
    assert {a // 2**50 for a, _ in pairs_of(count_overlaps(wide, pred))} == {
        a for a, _ in naive_table(truth, pred)
    }


def test_table_grows_past_its_first_capacity():
    n = 3 * kernels.FIRST_CAPACITY
    truth = np.arange(1, n + 1, dtype=np.uint32).reshape(3, 64, -1)
    found = count_overlaps(truth, truth[::-1].copy(), workers=1)
    assert len(found.count) == n
    assert (found.count == 1).all()
    assert (found.pred.ids[found.j] == truth[::-1].ravel()).all()


def test_blocks_give_the_same_table(monkeypatch):
    truth, pred = blobs(2)
    whole = count_overlaps(truth, pred)
    monkeypatch.setattr(blocks, "MEMORY_BLOCK_BYTES", 1000)
    assert len(blocks.plan(truth, pred)) > 12
    parts = count_overlaps(truth, pred, workers=3)
    for name in ("i", "j", "count", "first", "truth.boxes", "pred.boxes", "truth.centroids"):
        assert (attrgetter(name)(whole) == attrgetter(name)(parts)).all(), name
    a, b = overlap_scores(whole, pred), overlap_scores(parts, pred, workers=3)
    assert (a.sub == b.sub).all()


def test_zarr_gives_the_same_scores(tmp_path, monkeypatch):
    import zarr

    truth, pred = blobs(3)
    stored = []
    for name, image in (("truth", truth), ("pred", pred)):
        array = zarr.create_array(
            tmp_path / name, shape=image.shape, dtype="uint32", chunks=(5, 16, 16)
        )
        array[:] = image
        stored.append(array)
    monkeypatch.setattr(blocks, "STORE_BLOCK_BYTES", 9000)
    regions = blocks.plan(*stored)
    assert len(regions) > 3
    assert {b[0].start % 5 for b in regions} == {0}
    assert {b[1].start % 16 for b in regions} == {0}
    assert plain(score(*stored)) == plain(score(truth, pred))


def test_planes_are_stacks_of_one_slice():
    truth, pred = blobs(4)
    flat = plain(score(truth[5], pred[5]))
    assert flat == plain(score(truth[5:6], pred[5:6]))
    assert flat["tp"] > 0


@pytest.mark.parametrize(
    ("truth", "pred", "message"),
    [
        (np.zeros((2, 3, 4), "u4"), np.zeros((2, 4, 3), "u4"), r"\(2, 3, 4\), got \(2, 4, 3\)"),
        (np.zeros((2, 3, 4), "f4"), np.zeros((2, 3, 4), "u4"), "truth, got float32"),
        (np.zeros((2, 3, 4), "u4"), np.zeros((2, 3, 4), bool), "prediction, got bool"),
        (np.full((2, 3, 4), -1), np.zeros((2, 3, 4), "u4"), "at least 0.*truth"),
        (np.zeros((2, 3, 4), "u4"), np.full((2, 3, 4), -7, "i2"), "at least 0.*prediction"),
        (np.zeros((1, 2, 3, 4), "u4"), np.zeros((1, 2, 3, 4), "u4"), "got 4 dimensions"),
        (np.zeros((0, 3, 4), "u4"), np.zeros((0, 3, 4), "u4"), "with voxels"),
    ],
)
def test_images_that_cannot_be_compared(truth, pred, message):
    with pytest.raises(LabelImageError, match=message):
        score(truth, pred)
