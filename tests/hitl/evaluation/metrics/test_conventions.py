"""Metrics beyond IoU matching, against hand-worked cases, plain loops and the peers' own code."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import tifffile
from hypothesis import assume, given, settings

from hitl.evaluation.metrics.all_metrics import score
from hitl.evaluation.metrics.conventions import CONVENTIONS, count_by_convention
from hitl.evaluation.metrics.jaccard import aji, aji_cellpose, aji_plus
from hitl.evaluation.metrics.matching import match
from hitl.project.errors import MetricError
from labels.overlaps import count_overlaps
from tests.conftest import real_data_folder
from tests.hitl.evaluation.label_pairs import blobs, box, label_pairs

SPACING = (1.1, 0.3, 0.25)


def iou_matrix(truth, pred):
    """IoU of every pair, from masks."""
    ids = [[i for i in np.unique(image).tolist() if i] for image in (truth, pred)]
    matrix = np.zeros([len(found) for found in ids])
    for (n, i), (m, j) in product(enumerate(ids[0]), enumerate(ids[1])):
        a, b = truth == i, pred == j
        matrix[n, m] = (a & b).sum() / (a | b).sum()
    return ids[0], ids[1], matrix


# Aggregated Jaccard index


def naive_aji(truth, pred):
    """Algorithm 1 of the paper, with truth objects that overlap nothing counted alone."""
    ids, others, iou = iou_matrix(truth, pred)
    shared = union = 0
    used = set()
    for n, i in enumerate(ids):
        g = truth == i
        if not len(others) or iou[n].max() == 0:
            union += g.sum()
            continue
        best = others[iou[n].argmax()]
        used.add(best)
        shared += (g & (pred == best)).sum()
        union += (g | (pred == best)).sum()
    union += sum((pred == j).sum() for j in others if j not in used)
    return shared / union if union else None


@settings(deadline=None, max_examples=60)
@given(label_pairs())
def test_aji_equals_the_published_algorithm(images):
    assert aji(count_overlaps(*images)) == pytest.approx(naive_aji(*images))


@settings(deadline=None, max_examples=60)
@given(label_pairs())
def test_aji_plus_equals_the_full_assignment(images):
    from scipy.optimize import linear_sum_assignment

    truth, pred = images
    ids, others, iou = iou_matrix(truth, pred)
    rows, columns = linear_sum_assignment(iou, maximize=True)
    pairs = [(ids[n], others[m]) for n, m in zip(rows, columns, strict=True) if iou[n, m] > 0]
    shared = sum(((truth == i) & (pred == j)).sum() for i, j in pairs)
    union = sum(((truth == i) | (pred == j)).sum() for i, j in pairs)
    union += np.isin(truth, [i for i in ids if i not in dict(pairs)]).sum()
    union += np.isin(pred, [j for j in others if j not in {b for _, b in pairs}]).sum()
    # With equal IoUs several assignments may be best, of different ratios of voxels.
    overlapping = iou[iou > 0].round(12)
    assume(len(np.unique(overlapping)) == len(overlapping))
    assert aji_plus(count_overlaps(truth, pred)) == pytest.approx(shared / union if union else None)


@pytest.mark.parametrize("seed", range(4))
def test_aji_equals_cellpose_on_crowded_blobs(seed):
    from cellpose.metrics import aggregated_jaccard_index

    truth, pred = blobs(seed, n=30, jitter=4)
    expected = aggregated_jaccard_index([relabelled(truth)], [relabelled(pred)])[0]
    assert aji_cellpose(count_overlaps(truth, pred)) == pytest.approx(expected)


def relabelled(labels):
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)


def test_aji_by_hand():
    truth = box((1, 2, 12), (0, 1, 0, 2, 0, 4), (0, 1, 0, 2, 4, 8), (0, 1, 0, 2, 10, 12))
    pred = box((1, 2, 12), (0, 1, 0, 2, 0, 8), (0, 1, 0, 1, 9, 10))
    table = count_overlaps(truth, pred)
    # Both of 8 take the same 16 voxels; 4 voxels of truth and 1 of prediction overlap nothing.
    assert aji(table) == pytest.approx((8 + 8) / (16 + 16 + 4 + 1))
    assert aji_plus(table) == pytest.approx(8 / (16 + 8 + 4 + 1))
    assert aji_cellpose(table) == pytest.approx(8 / (20 + 17 - 16))


# Conventions of matching


def test_conventions_differ_where_they_should():
    truth = box((1, 1, 12), (0, 1, 0, 1, 0, 5), (0, 1, 0, 1, 5, 8))
    pred = box((1, 1, 12), (0, 1, 0, 1, 1, 6), (0, 1, 0, 1, 0, 1))
    found = {c.name: c for c in count_by_convention(count_overlaps(truth, pred), (0.1, 0.5))}
    assert list(found) == list(CONVENTIONS)
    at_tenth = {name: c.matchings[0].tp for name, c in found.items() if name != "dsb2018"}
    assert at_tenth == {"stardist": 2, "cellpose": 2, "panoptica": 1, "coco": 1}
    assert [m.threshold for m in found["dsb2018"].matchings] == [0.5]
    # IoU of exactly a half: above it for nobody but those who ask for "at least".
    half = count_overlaps(box((1, 1, 4), (0, 1, 0, 1, 0, 4)), box((1, 1, 4), (0, 1, 0, 1, 0, 2)))
    tp = {c.name: c.matchings[0].tp for c in count_by_convention(half, (0.5,))}
    assert tp == {"stardist": 1, "cellpose": 1, "panoptica": 1, "coco": 1, "dsb2018": 0}


def test_coco_goes_by_the_order_of_predictions():
    # Both predictions fit the truth object; the first takes it though the second fits better.
    truth = box((1, 1, 10), (0, 1, 0, 1, 0, 10))
    pred = box((1, 1, 10), (0, 1, 0, 1, 0, 4), (0, 1, 0, 1, 4, 10))
    found = count_overlaps(truth, pred)
    assert match(found, 0.3, method="coco").iou.tolist() == pytest.approx([0.4])
    assert match(found, 0.3, method="greedy").iou.tolist() == pytest.approx([0.6])
    with pytest.raises(MetricError, match=r"at least 0\.5 with strict, got 0\.3"):
        match(found, 0.3, method="strict")


@settings(deadline=None, max_examples=60)
@given(label_pairs(max_id=5))
def test_greedy_conventions_equal_the_obvious_loops(images):
    truth, pred = images
    ids, others, iou = iou_matrix(truth, pred)
    table = count_overlaps(truth, pred)
    for threshold in (0.1, 0.3, 0.5):
        free = set(range(len(ids)))
        coco = 0
        for m in range(len(others)):
            fits = [n for n in free if iou[n, m] >= threshold]
            if fits:
                free.remove(max(fits, key=lambda n: (iou[n, m], n)))
                coco += 1
        assert match(table, threshold, method="coco").tp == coco
        order = sorted(product(range(len(ids)), range(len(others))), key=lambda p: -iou[p])
        rows, columns = set(), set()
        for n, m in order:
            if iou[n, m] >= threshold and n not in rows and m not in columns:
                rows.add(n)
                columns.add(m)
        assert match(table, threshold, method="greedy").tp == len(rows)


@settings(deadline=None, max_examples=40)
@given(label_pairs(max_id=5))
def test_equals_panoptica_on_any_labels(images):
    panoptica = pytest.importorskip("panoptica")
    truth, pred = images
    assume(truth.any() and pred.any())
    evaluator = panoptica.Panoptica_Evaluator(
        expected_input=panoptica.InputType.UNMATCHED_INSTANCE,
        instance_matcher=panoptica.NaiveThresholdMatching(matching_threshold=0.5),
    )
    theirs = evaluator.evaluate(pred, truth, verbose=False)["ungrouped"]
    ours = match(count_overlaps(truth, pred), 0.5, method="greedy")
    assert (ours.tp, ours.fp, ours.fn) == (theirs.tp, theirs.fp, theirs.fn)
    if ours.tp:
        assert (ours.pq, ours.sq, ours.f1) == pytest.approx((theirs.pq, theirs.sq, theirs.rq))


# Cases


def test_one_object_only():
    truth = box((4, 6, 6), (1, 3, 1, 5, 1, 5))
    flat = score(truth, truth * 9, spacing_um=(1, 1, 1)).flat()
    ones = ("evaluation_score", "f1", "pq", "seg", "aji", "aji_plus", "boundary.f1")
    assert [flat[key] for key in ones] == [1] * len(ones)
    assert flat["centroids.mean_distance"] == flat["count_error"] == 0


@pytest.mark.real
@pytest.mark.slow
def test_platynereis_keeps_its_other_numbers():
    folder = real_data_folder() / "platynereis_labels"
    if not folder.is_dir():
        pytest.skip(f"platynereis_labels is not at {folder}: set HITL_TEST_DATA")
    truth = tifffile.imread(folder / "gt.tif")
    pred = tifffile.imread(folder / "voronoi_otsu_label_image.tif")
    from cellpose.metrics import aggregated_jaccard_index

    flat = score(truth, pred, spacing_um=(1, 1, 1)).flat()
    expected = {
        "aji": 0.6835350499553245,
        "aji_plus": 0.6897718498781281,
        "aji_cellpose": aggregated_jaccard_index([relabelled(truth)], [relabelled(pred)])[0],
        "boundary.f1": 0.8739476620239969,
        "boundary.precision": 0.9089661851343718,
        "boundary.recall": 0.8415272677818577,
        "centroids.tp": 33,
        "centroids.mean_distance": 1.4275898382986139,
        "overlapping.truth_hit": 35,
        "overlapping.pred_hit": 33,
        "border.without.n_truth": 29,
        "border.without.n_pred": 27,
        "border.without.f1": 0.7142857142857143,
        "border.without.evaluation_score": 0.7549070584340589,
        "count_error": -3,
    }
    assert {key: flat[key] for key in expected} == pytest.approx(expected)
