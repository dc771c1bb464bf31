"""Every object is in a case that says what became of it."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given, settings

from hitl.evaluation.metrics.all_metrics import score
from hitl.project.plain import plain
from tests.hitl.evaluation.label_pairs import every_kind_of_error, label_pairs


def test_cases_name_every_object_and_its_place():
    truth, pred = every_kind_of_error()
    cases = score(truth, pred, spacing_um=(2, 0.5, 0.5)).cases
    assert [(c.kind, c.truth_ids, c.pred_ids) for c in cases] == [
        ("merged", (3, 4), (4,)),
        ("split", (2,), (2, 3)),
        ("missed", (6,), ()),
        ("spurious", (), (6,)),
        ("shifted", (5,), (5,)),
        ("matched", (1,), (1,)),
    ]
    assert cases[0].centroid_zyx == (0, 4.5, 27.5)
    assert cases[0].centroid_um == (0, 2.25, 13.75)
    assert cases[3].centroid_zyx == (0, 4.5, 52.5)


@settings(deadline=None, max_examples=60)
@given(label_pairs(max_id=6))
def test_every_object_is_in_a_case_of_its_kind(images):
    truth, pred = images
    result = score(truth, pred)
    of_truth = {(c.kind, i) for c in result.cases for i in c.truth_ids}
    in_pred = {j for c in result.cases for j in c.pred_ids}
    assert {(row.kind, row.id) for row in result.objects} <= of_truth
    assert in_pred == set(np.unique(pred[pred > 0]).tolist())
    spurious = [c.pred_ids[0] for c in result.cases if c.kind == "spurious"]
    assert tuple(spurious) == result.spurious_ids
    json.dumps(plain(result), allow_nan=False)
