"""Tables of scores for the terminal."""

from __future__ import annotations

import io

import numpy as np
from rich.console import Console

from hitl.cli.printing import scores as table
from hitl.evaluation.metrics.all_metrics import score
from hitl.evaluation.metrics.averages import average
from tests.hitl.evaluation.label_pairs import blobs


def test_tables_fit_a_terminal():
    truth, pred = blobs(0)
    classes = (truth > 0) * np.uint8(2)
    found = score(truth, pred, truth_classes=classes, pred_classes=classes)
    means = average({"1": {"a": [score(truth, pred)], "b": [score(truth, truth)]}})
    rows = {"stardist-1": found.flat(), "mean": means.mean}
    console = Console(width=80, record=True, file=io.StringIO())
    for build in (table.score_table, table.error_table, table.threshold_table, table.voxel_table):
        console.print(build(rows))
    console.print(table.class_table(means.classes, means.mean))
    text = console.export_text()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert f"{found.evaluation_score:.3f}" in text
    assert f"{found.flat()['thresholds.0.3.f1']:.3f}" in text
