"""Objects that do not count: at the border, too small, or by options that make no sense."""

from __future__ import annotations

from operator import attrgetter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl.evaluation.metrics.all_metrics import score
from hitl.evaluation.metrics.exclusion import keep
from hitl.evaluation.options import ScoreOptions
from hitl.project.errors import MetricError
from hitl.project.plain import plain
from labels.overlaps import count_overlaps
from tests.hitl.evaluation.label_pairs import blobs, box, label_pairs


def test_predictions_of_border_objects_are_neither_right_nor_wrong():
    shape = (1, 10, 40)
    truth = box(shape, (0, 1, 0, 10, 0, 8), (0, 1, 2, 8, 12, 18), (0, 1, 2, 8, 30, 36))
    pred = box(
        shape,
        (0, 1, 1, 9, 1, 8),  # of the border object, itself inside: left out with it
        (0, 1, 0, 8, 12, 18),  # of the second, itself at the border: stays
        (0, 1, 0, 2, 20, 24),  # of nothing, at the border: left out
        (0, 1, 4, 6, 22, 26),  # of nothing, inside: wrong
        (0, 1, 2, 3, 8, 12),  # of nothing, inside: wrong
    )
    found = keep(count_overlaps(truth, pred), drop_border=True)
    assert found.truth.tolist() == [False, True, True]
    assert found.pred.tolist() == [False, True, False, True, True]
    result = score(truth, pred, options=ScoreOptions(border="drop"))
    assert (result.at_half.tp, result.at_half.fp, result.at_half.fn) == (1, 2, 1)
    assert result.left_out.truth_ids == (1,)
    assert result.left_out.pred_ids == (1, 3)
    assert (result.left_out.truth_at_border, result.left_out.pred_at_border) == (1, 2)
    assert [row.id for row in result.objects] == [2, 3]
    everything = score(truth, pred, spacing_um=(1, 1, 1))
    assert everything.with_border.at_half.tp == everything.at_half.tp == 2
    assert plain(everything.without_border) == plain(result.without_border)
    assert plain(result)["f1"] == plain(everything)["border"]["without"]["f1"]
    assert [row.at_border for row in everything.objects] == [True, False, False]


def test_small_objects_do_not_count():
    truth = box((1, 10, 30), (0, 1, 1, 3, 1, 3), (0, 1, 1, 7, 10, 16), (0, 1, 1, 3, 24, 26))
    pred = box((1, 10, 30), (0, 1, 1, 3, 1, 3), (0, 1, 1, 7, 10, 15), (0, 1, 8, 9, 20, 22))
    everything, large = (
        score(truth, pred, options=ScoreOptions(min_voxels=n)).at_half for n in (0, 5)
    )
    assert (everything.tp, everything.fp, everything.fn) == (2, 1, 1)
    assert (large.tp, large.fp, large.fn) == (1, 0, 0)
    options = ScoreOptions(min_volume_um3=0.4)
    in_um = score(truth, pred, spacing_um=(1, 0.1, 1), options=options)
    assert in_um.left_out.truth_ids == ()
    assert in_um.left_out.pred_ids == (3,)
    with pytest.raises(MetricError, match="--min-volume-um3: expected a spacing"):
        score(truth, pred, options=options)


@settings(deadline=None, max_examples=60)
@given(label_pairs(), st.booleans(), st.integers(0, 6))
def test_leaving_out_never_changes_what_counts_is_compared_with(images, drop, least):
    truth, pred = images
    table = count_overlaps(truth, pred)
    kept = keep(table, drop_border=drop, min_voxels=least)
    part = table.select(kept.truth, kept.pred)
    masked = count_overlaps(
        np.where(np.isin(truth, part.truth.ids), truth, 0),
        np.where(np.isin(pred, part.pred.ids), pred, 0),
    )
    for name in ("truth.ids", "pred.ids", "i", "j", "count", "truth.sizes", "pred.boxes"):
        assert np.array_equal(attrgetter(name)(part), attrgetter(name)(masked)), name
    lost = (table.iou >= 0.1) & kept.truth[table.i] & ~kept.pred[table.j]
    assert not lost.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"border": "ignore"}, "--border ignore: expected keep or drop"),
        ({"min_voxels": -1}, "--min-voxels -1: expected a number of at least 0"),
        ({"tolerance_um": float("nan")}, "--tolerance-um nan"),
        ({"centroid_px": 0}, "--centroid-px 0: expected a number above 0"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(MetricError, match=message):
        ScoreOptions(**options)


@pytest.mark.parametrize("name", ["tolerance_um", "centroid_um", "min_volume_um3"])
def test_micrometres_need_a_spacing(name):
    truth, pred = blobs(0)
    with pytest.raises(MetricError, match=f"--{name.replace('_', '-')}: expected a spacing"):
        score(truth, pred, options=ScoreOptions(**{name: 1.0}))
    without = score(truth, pred)
    assert without.boundary is None
    assert "no spacing was given" in without.reasons["boundary"]
