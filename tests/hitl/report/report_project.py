"""A small project whose report has everything in it, and hostile names where users give them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from annotations.formats import write_labels_tiff
from hitl.cli import run
from hitl.evaluation.evaluate import evaluate
from hitl.evaluation.requests import EvaluateRequest
from hitl.labelling.bootstrap import bootstrap
from hitl.labelling.requests import BootstrapRequest
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from tests.hitl.fake_model import Bench, make_bench, scene

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=2'>\"&"
CURVES = "epoch,loss,val_loss,val_f1\n1,2.0,1.9,0.2\n2,1.0,1.1,0.6\n3,0.5,0.9,0.7\n"


def full_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Bootstrap, two rounds of hand work, two runs that learned from them, scores, agreement."""
    bench = make_bench(folder, monkeypatch)
    project = bench.project
    bench.add("learn", "train", labelled=False)
    bench.add("tested", "test", labelled=True, seed=1)
    bootstrap(project, BootstrapRequest(), Silent())
    _trained(bench, "fake-0001", 0, missing="small", spurious=3)
    image, truth = scene(0)
    for number, (name, minutes) in enumerate(((HOSTILE, 12.5), ("bela", 7.0)), start=1):
        labels = truth.copy()
        labels[:, : 30 * (2 - number)] = 0
        file = folder / f"round{number}.tif"
        write_labels_tiff(file, labels, (1.0, 1.0, 1.0))
        arguments = ["import", project.folder, "learn", file, "--annotator", name]
        assert run([*map(str, arguments), "--minutes", str(minutes), "--verified", "all"]) == 0
    _trained(bench, "fake-0002", 2, shrink=1)
    evaluate(project, EvaluateRequest(models=("bright", "fake-0001", "fake-0002")), Silent())
    other = np.roll(scene(1)[1], 1, axis=2)
    for name, labels in (("a", scene(1)[1]), ("b", other)):
        write_labels_tiff(folder / f"{name}.tif", labels, (1.0, 1.0, 1.0))
    people = ["agreement", folder / "a.tif", folder / "b.tif", "--project", project.folder]
    assert run([*map(str, people), "--field", "tested", "--names", HOSTILE, "bela"]) == 0
    assert image.shape == truth.shape
    return project


def _trained(bench: Bench, name: str, round_number: int, **faults: object) -> None:
    bench.run(name, **faults)
    folder = bench.project.runs_folder / name
    (folder / "curves.csv").write_text(CURVES)
    card = json.loads((folder / "card.json").read_text())
    card |= {"round": round_number, "epochs": 3, "best_epoch": 3, "licence": "CC0", "base": HOSTILE}
    (folder / "card.json").write_text(json.dumps(card))
