"""A project with three classes in three channels, and a series of three time points."""

from __future__ import annotations

from pathlib import Path

import pytest

from hitl.evaluation.evaluate import evaluate
from hitl.evaluation.requests import EvaluateRequest
from hitl.labelling.bootstrap import bootstrap
from hitl.labelling.requests import BootstrapRequest
from hitl.project.folder import Project, write_json
from hitl.project.reporter import Silent
from hitl.project.runs import IN_USE
from tests.hitl.class_fields import add_classes, add_series
from tests.hitl.fake_model import make_bench


def classes_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Fields ``learn`` and ``tested`` of three classes, ``movie`` of one class and three times.

    What is scored is the bootstrap's segmenter, and a run in use that misses the small ones; it
    learned nuclei only.
    """
    bench = make_bench(folder, monkeypatch)
    about = {"condition": "drug", "well": "B3"}
    add_classes(bench, "learn", "train", labelled=(), metadata=about)
    add_classes(bench, "tested", "test", seed=3, metadata=about)
    add_series(bench, "movie", "test")
    bootstrap(bench.project, BootstrapRequest(), Silent())
    bench.run("fake-0001", missing="small", spurious=2)
    evaluate(bench.project, EvaluateRequest(models=("bright", "fake-0001")), Silent())
    write_json(bench.project.folder / IN_USE, {"run": "fake-0001", "history": []})
    return bench.project
