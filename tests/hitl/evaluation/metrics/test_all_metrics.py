"""Metrics against hand-worked cases, plain loops and the peers' own code."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings

from hitl.evaluation.metrics.all_metrics import score
from hitl.evaluation.metrics.averages import average
from hitl.evaluation.metrics.matching import MEAN_AP_THRESHOLDS, match, mean_ap, seg
from hitl.evaluation.metrics.overlap_score import overlap_scores
from hitl.evaluation.metrics.taxonomy import classify
from hitl.evaluation.metrics.voxel import confusion, voxel_scores
from hitl.project.errors import MetricError
from hitl.project.plain import plain
from labels.overlaps import count_overlaps
from tests.conftest import real_data_folder
from tests.hitl.evaluation.label_pairs import blobs, box, every_kind_of_error, label_pairs

THRESHOLDS = [round(0.05 * k, 2) for k in range(2, 20)]


# Matching, against the peers


def peers_can_take(truth, pred):
    """Cellpose takes it that there is background, and divides by zero on empty images."""
    return truth.any() and pred.any() and not truth.all() and not pred.all()


@settings(deadline=None, max_examples=100)
@given(label_pairs())
def test_equals_stardist_on_any_labels(images):
    from stardist.matching import matching

    truth, pred = images
    if not (truth.any() or pred.any()):
        return
    found = count_overlaps(truth, pred)
    peers = matching(truth, pred, thresh=THRESHOLDS, report_matches=True)
    for threshold, peer in zip(THRESHOLDS, peers, strict=True):
        ours = match(found, threshold)
        assert (ours.tp, ours.fp, ours.fn) == (peer.tp, peer.fp, peer.fn)
        assert (ours.precision, ours.recall, ours.f1, ours.ap) == pytest.approx(
            (peer.precision, peer.recall, peer.f1, peer.accuracy)
        )
        # Below one half, assignments of equal total IoU may differ in that of the matches.
        if threshold >= 0.5:
            assert (ours.sq, ours.pq) == pytest.approx(
                (peer.mean_matched_score, peer.panoptic_quality), rel=1e-5
            )


@settings(deadline=None, max_examples=40)
@given(label_pairs())
def test_equals_cellpose_on_any_labels(images):
    from cellpose.metrics import average_precision

    truth, pred = images
    if not peers_can_take(truth, pred):
        return
    found = count_overlaps(truth, pred)
    peer = average_precision(truth, pred, threshold=THRESHOLDS)
    for k, threshold in enumerate(THRESHOLDS):
        ours = match(found, threshold)
        assert (ours.ap, ours.tp, ours.fp, ours.fn) == pytest.approx([v[k] for v in peer])


@pytest.mark.parametrize("seed", range(6))
def test_equals_stardist_in_every_number_on_crowded_blobs(seed):
    from stardist.matching import matching

    truth, pred = blobs(seed, n=40, jitter=4)
    found = count_overlaps(truth, pred)
    contested = 0
    for threshold, peer in zip(THRESHOLDS, matching(truth, pred, thresh=THRESHOLDS), strict=True):
        ours = match(found, threshold)
        assert (ours.tp, ours.fp, ours.fn) == (peer.tp, peer.fp, peer.fn)
        assert (ours.sq, ours.pq) == pytest.approx(
            (peer.mean_matched_score, peer.panoptic_quality), rel=1e-5
        )
        contested += np.sum(found.iou >= threshold) > ours.tp
    assert contested, "no threshold needed an assignment: the test shows nothing"


def test_greedy_differs_where_conventions_do():
    # Greedy takes the best pair, which leaves nothing to the others; optimal takes both of those.
    pred = box((1, 1, 12), (0, 1, 0, 1, 1, 6), (0, 1, 0, 1, 0, 1))
    truth = box((1, 1, 12), (0, 1, 0, 1, 0, 5), (0, 1, 0, 1, 5, 8))
    found = count_overlaps(truth, pred)
    assert found.iou.tolist() == pytest.approx([4 / 6, 1 / 5, 1 / 7])
    assert match(found, 0.1).tp == 2
    assert match(found, 0.1, method="greedy").tp == 1
    assert match(found, 0.1, method="greedy").iou.tolist() == pytest.approx([4 / 6])


def test_threshold_outside_its_range():
    found = count_overlaps(*blobs(0))
    for threshold in (0, -0.1, 1.1, float("nan")):
        with pytest.raises(MetricError, match="above 0 and at most 1"):
            match(found, threshold)


def test_seg_and_mean_ap_by_hand():
    truth = box((2, 4, 12), (0, 2, 0, 2, 0, 2), (0, 2, 0, 2, 4, 6), (0, 2, 2, 4, 8, 12))
    pred = truth.copy()
    pred[:, :, 5] = 0  # half of object 2: not more than half, so SEG does not count it
    pred[0, 2, 8] = 0  # 15 of 16 voxels of object 3
    found = count_overlaps(truth, pred)
    assert seg(found) == pytest.approx((1 + 0 + 15 / 16) / 3)
    # IoU 1, 0.5, 0.9375: at 0.5 all three match, to 0.9 two, at 0.95 one.
    expected = np.mean([1] + [2 / 4] * 8 + [1 / 5])
    assert mean_ap(found) == pytest.approx(expected)
    assert MEAN_AP_THRESHOLDS[0] == 0.5
    assert MEAN_AP_THRESHOLDS[-1] == 0.95
    assert {round(b - a, 2) for a, b in pairwise(MEAN_AP_THRESHOLDS)} == {0.05}


# The evaluation score


def naive_overlap_scores(truth, pred):
    """The obvious loop over truth objects."""
    rows = []
    for g in np.unique(truth[truth > 0]):
        mask = truth == g
        ids, counts = np.unique(pred[mask & (pred > 0)], return_counts=True)
        if not len(ids):
            rows.append((0, 0.0, 0.0))
            continue
        best = ids[counts.argmax()]
        other = pred == best
        region = tuple(slice(a.min(), a.max() + 1) for a in np.nonzero(mask))
        dice = [
            2 * (a & b).sum() / (a.sum() + b.sum())
            for a, b in ((mask, other), (mask[region], other[region]))
        ]
        rows.append((int(best), *dice))
    return rows


@settings(deadline=None)
@given(label_pairs())
def test_evaluation_score_equals_the_obvious_loop(images):
    truth, pred = images
    found = overlap_scores(count_overlaps(truth, pred), pred)
    expected = naive_overlap_scores(truth, pred)
    assert found.pred_ids.tolist() == [row[0] for row in expected]
    assert found.full.tolist() == pytest.approx([row[1] for row in expected])
    assert found.sub.tolist() == pytest.approx([row[2] for row in expected])
    assert found.score.tolist() == pytest.approx(
        [(0.95 * sub + 1.05 * full) / 2 for _, full, sub in expected]
    )


def test_merged_with_its_neighbour_is_good_inside_and_bad_overall():
    truth = box((2, 4, 8), (0, 2, 0, 4, 0, 4), (0, 2, 0, 4, 4, 8))
    pred = (truth > 0).astype(np.uint32)
    found = overlap_scores(count_overlaps(truth, pred), pred)
    assert found.sub.tolist() == [1, 1]
    assert found.full.tolist() == pytest.approx([2 / 3, 2 / 3])
    assert found.score.tolist() == pytest.approx([(0.95 + 1.05 * 2 / 3) / 2] * 2)


def test_evaluation_score_by_hand():
    truth = box((1, 4, 10), (0, 1, 0, 2, 0, 4), (0, 1, 2, 4, 6, 10))
    pred = box((1, 4, 10), (0, 1, 0, 4, 0, 2))  # 4 of object 1's 8 voxels, and 4 below its box
    result = score(truth, pred)
    full, sub = 2 * 4 / (8 + 8), 2 * 4 / (8 + 4)
    assert result.full == pytest.approx(full / 2)
    assert result.sub == pytest.approx(sub / 2)
    assert result.evaluation_score == pytest.approx((0.95 * sub + 1.05 * full) / 2 / 2)
    assert [row.best_id for row in result.objects] == [1, 0]


def test_equal_overlaps_take_the_smallest_id():
    truth = box((1, 1, 4), (0, 1, 0, 1, 0, 4))
    pred = np.array([[[9, 9, 4, 4]]], np.uint32)
    assert overlap_scores(count_overlaps(truth, pred), pred).pred_ids.tolist() == [4]


def test_evaluation_score_refuses_another_prediction():
    truth, pred = blobs(0)
    with pytest.raises(MetricError, match="that was counted"):
        overlap_scores(count_overlaps(truth, pred), pred[:5])


# Voxels, errors


def test_voxel_metrics_by_hand():
    truth = np.array([[[0, 0, 0, 1, 2, 2, 2, 1]]], np.uint8)
    pred = np.array([[[0, 0, 1, 2, 2, 2, 1, 1]]], np.uint8)
    assert confusion(truth, pred).tolist() == [[2, 1, 0], [0, 1, 1], [0, 1, 2]]
    classes = voxel_scores(truth, pred)
    edge = classes["edge"]
    assert (edge.precision, edge.recall, edge.f1, edge.iou) == pytest.approx(
        (1 / 3, 1 / 2, 2 / 5, 1 / 4)
    )
    nucleus = classes["nucleus"]
    assert (nucleus.precision, nucleus.recall, nucleus.f1, nucleus.iou) == pytest.approx(
        (2 / 3, 2 / 3, 2 / 3, 1 / 2)
    )
    assert classes["background"].recall == pytest.approx(2 / 3)


@settings(deadline=None)
@given(label_pairs(max_id=2, dtype=np.uint8))
def test_confusion_equals_the_obvious_loop(images):
    truth, pred = images
    expected = [[int(((truth == a) & (pred == b)).sum()) for b in range(3)] for a in range(3)]
    assert confusion(truth, pred).tolist() == expected


def test_instance_labels_are_no_classes():
    with pytest.raises(MetricError, match=r"prediction, got 3: instance labels"):
        confusion(np.zeros((1, 2, 2), "u1"), np.full((1, 2, 2), 3, "u1"))


def test_kinds_of_errors():
    truth, pred = every_kind_of_error()
    found = count_overlaps(truth, pred)
    kinds = classify(found, match(found, 0.5))
    assert kinds.truth_kinds.tolist() == [
        "matched", "split", "merged", "merged", "shifted", "missed",
    ]  # fmt: skip
    assert kinds.pred_kinds.tolist() == [
        "matched", "split", "split", "merged", "shifted", "spurious",
    ]  # fmt: skip
    result = score(truth, pred, spacing_um=(2, 0.5, 0.5))
    assert result.errors == {
        "matched": 1,
        "split": 1,
        "merged": 2,
        "shifted": 1,
        "missed": 1,
        "spurious": 1,
        "mergers": 1,
        "fragments": 2,
    }
    assert result.spurious_ids == (6,)
    assert result.objects[0].volume_um3 == pytest.approx(80 * 0.5)
    assert result.objects[0].centroid_zyx == (0, 4.5, 3.5)


# Everything at once


def test_a_perfect_prediction_scores_one_everywhere():
    truth, _ = blobs(5)
    classes = np.where(truth > 0, 2, 0).astype(np.uint8)
    classes[:, ::7] = 1
    flat = score(truth, truth * 3, truth_classes=classes, pred_classes=classes).flat()
    ones = ("evaluation_score", "f1", "ap", "pq", "sq", "mean_ap_50_95", "seg", "voxels.edge.iou")
    assert [flat[key] for key in ones] == pytest.approx([1] * len(ones))
    assert all(flat[f"thresholds.0.{k}.f1"] == 1 for k in range(1, 10))
    assert flat["count_error"] == flat["errors.spurious"] == 0


@pytest.mark.parametrize(
    ("truth_filled", "pred_filled", "f1", "value", "reason"),
    [
        (True, False, 0, 0, None),
        (False, True, 0, None, "the truth holds no object"),
        (False, False, None, None, "neither the truth nor the prediction holds an object"),
    ],
)
def test_empty_images_are_defined(truth_filled, pred_filled, f1, value, reason):
    truth, pred = blobs(0)
    result = score(truth * truth_filled, pred * pred_filled)
    text = json.dumps(plain(result), allow_nan=False)
    flat = json.loads(text)
    for key in ("f1", "precision", "recall", "ap", "pq", "mean_ap_50_95"):
        assert flat[key] == f1, key
    for key in ("evaluation_score", "full", "sub", "seg"):
        assert flat[key] == value, key
        assert flat["reasons"].get(key) == reason
    undefined = [key for key, number in result.flat().items() if number is None]
    assert sorted(undefined) == sorted(flat["reasons"])
    assert (result.n_truth > 0, result.n_pred > 0) == (truth_filled, pred_filled)
    assert flat["count_error"] == result.n_pred - result.n_truth


def test_absent_class_is_undefined_with_a_reason():
    truth, pred = blobs(0)
    nothing = np.zeros(truth.shape, np.uint8)
    result = score(truth, pred, truth_classes=nothing, pred_classes=nothing)
    assert result.flat()["voxels.edge.f1"] is None
    assert result.reasons["voxels.edge.f1"] == "neither image holds the class edge"
    assert result.flat()["voxels.background.iou"] == 1


def test_arguments_that_make_no_sense():
    truth, pred = blobs(0)
    with pytest.raises(MetricError, match="three positive"):
        score(truth, pred, spacing_um=(1, 0, 1))
    with pytest.raises(MetricError, match="give both"):
        score(truth, pred, truth_classes=truth)


def test_average_counts_each_class_once():
    truth, pred = blobs(0)
    perfect, other = score(truth, truth), score(truth, pred)
    empty = score(truth * 0, truth * 0)
    averages = average(
        {
            "1": {"Cy3": [perfect], "GFP": [other]},
            # Two time points of one field count as one.
            "2": {"Cy3": [perfect, other], "GFP": [empty]},
        }
    )
    first = (1 + (1 + other.evaluation_score) / 2) / 2
    assert averages.classes["Cy3"]["evaluation_score"] == pytest.approx(first)
    assert averages.classes["GFP"]["evaluation_score"] == pytest.approx(other.evaluation_score)
    assert averages.mean["evaluation_score"] == pytest.approx((first + other.evaluation_score) / 2)
    assert averages.left_out["evaluation_score"] == 1
    json.dumps(plain(averages), allow_nan=False)
    with pytest.raises(MetricError, match="GFP"):
        average({"GFP": {}})


@pytest.mark.real
def test_platynereis_keeps_its_numbers():
    folder = real_data_folder() / "platynereis_labels"
    if not folder.is_dir():
        pytest.skip(f"platynereis_labels is not at {folder}: set HITL_TEST_DATA")
    from stardist.matching import matching

    truth = tifffile.imread(folder / "gt.tif")
    pred = tifffile.imread(folder / "voronoi_otsu_label_image.tif")
    found = score(truth, pred)
    flat = found.flat()
    expected = {
        "n_truth": 36,
        "n_pred": 33,
        "evaluation_score": 0.7086460772815425,
        "full": 0.6896284903873624,
        "sub": 0.7296655154277416,
        "tp": 23,
        "f1": 2 / 3,
        "ap": 0.5,
        "pq": 0.44964730569311856,
        "mean_ap_50_95": 0.18281405447055138,
        "seg": 0.5215865797982246,
        "thresholds.0.1.tp": 33,
        "thresholds.0.3.f1": 0.8985507246376812,
        "thresholds.0.7.f1": 0.2608695652173913,
        "errors.merged": 4,
        "errors.shifted": 8,
        "errors.missed": 1,
    }
    assert {key: flat[key] for key in expected} == pytest.approx(expected)
    peers = matching(truth, pred, thresh=[m.threshold for m in found.matchings])
    for ours, peer in zip(found.matchings, peers, strict=True):
        assert (ours.tp, ours.fp, ours.fn) == (peer.tp, peer.fp, peer.fn)
        assert ours.pq == pytest.approx(peer.panoptic_quality, rel=1e-5)
    part = (slice(40, 60), slice(None, None, 2), slice(None, None, 2))
    rows = naive_overlap_scores(truth[part], pred[part])
    found = score(truth[part], pred[part])
    assert found.full == pytest.approx(np.mean([row[1] for row in rows]))
    assert found.sub == pytest.approx(np.mean([row[2] for row in rows]))


def test_importing_the_metrics_loads_nothing_heavy():
    code = (
        "import sys, hitl.evaluation.metrics; "
        "print([m for m in ('numba', 'scipy', 'torch', 'tensorflow', 'skimage') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
