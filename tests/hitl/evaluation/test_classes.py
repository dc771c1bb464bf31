"""Scores of fields with several classes and time points: averaged by class, resampled by field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from annotations.fields import ClassInfo
from hitl.evaluation.evaluate import Evaluated, evaluate
from hitl.evaluation.metrics.items import METRICS
from hitl.evaluation.metrics.resampling import bootstrap
from hitl.evaluation.requests import EvaluateRequest
from hitl.evaluation.results import find_evaluated, read_cases, read_scored
from hitl.project.config import parse_config
from hitl.project.errors import NothingToDoError
from hitl.project.reporter import Silent
from tests.annotations.store_sources import ArraySource
from tests.hitl.class_fields import NAMES, TIMES, add_classes, add_series, class_scenes
from tests.hitl.fake_model import Bench, make_bench

DRAWN: dict[str, Any] = {"evaluation": {}}
"""Of a config: pictures are drawn."""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return make_bench(tmp_path, monkeypatch)


def scores(
    bench: Bench,
    *models: str,
    said: Silent | None = None,
    classes: tuple[str, ...] = (),
    config: Mapping[str, Any] = MappingProxyType({}),
) -> Evaluated:
    """Evaluate without drawing, as the config says else."""
    whole = {**bench.project.config.model_dump(mode="json"), "evaluation": {"picture": False}}
    project = replace(bench.project, config=parse_config({**whole, **config}))
    request = EvaluateRequest(models=models or ("bright",), classes=classes)
    return evaluate(project, request, said or Silent())


def test_means_are_over_the_fields_of_each_class_then_over_classes(bench: Bench) -> None:
    """Three fields show nuclei, one shows g1 and g2 too; of g1 every other object is no object."""
    _, truth = class_scenes(0)
    labels = {**truth, "g1": np.where(truth["g1"] % 2, truth["g1"], 0).astype(np.uint32)}
    add_classes(bench, "f1", "test", labels=labels)
    for number, name in enumerate(("f2", "f3")):
        bench.add(name, "test", labelled=True, seed=20 + number)
    bench.run("fake-0001", NAMES, missing="small", spurious=3)
    found = scores(bench, "fake-0001").models["fake-0001"]
    assert set(found.fields) == {"f1:g1", "f1:g2", "f1:nuclei", "f2", "f3"}
    for key in ("f1", "evaluation_score", "n_truth"):
        value = {name: part.flat()[key] for name, part in found.fields.items()}
        nuclei = np.mean([value["f1:nuclei"], value["f2"], value["f3"]])
        classes = {"g1": value["f1:g1"], "g2": value["f1:g2"], "nuclei": nuclei}
        assert {name: mean[key] for name, mean in found.classes.items()} == pytest.approx(classes)
        assert found.mean[key] == pytest.approx(np.mean(list(classes.values())))
        assert found.mean[key] != pytest.approx(np.mean(list(value.values())), abs=1e-6)


def test_mean_and_interval_are_of_the_same_statistic(bench: Bench) -> None:
    """Where no object differs from another, every resample is the point estimate."""
    add_classes(bench, "f1", "test")
    add_series(bench, "movie", "test")
    bench.run("fake-0001", NAMES, missing="small")
    bench.run("fake-0002", NAMES, missing="nothing")
    done = scores(bench, "fake-0001", "fake-0002")
    perfect = done.models["fake-0002"]
    assert (perfect.intervals["f1"].low, perfect.intervals["f1"].high) == (1, 1)
    found, (compared,) = done.models["fake-0001"], done.comparisons
    for name in METRICS:
        assert compared.metrics[name].first == pytest.approx(found.mean[name]), name
        assert compared.metrics[name].second == pytest.approx(perfect.mean[name]), name
        low, high = found.intervals[name].low, found.intervals[name].high
        assert low is not None and high is not None
        assert low <= found.mean[name] <= high, name
    # As if each class and time point were drawn alone, no field at all:
    items = {name: {"": [part.items]} for name, part in found.fields.items()}
    assert bootstrap(items)["recall"] != found.intervals["recall"]


def test_a_model_is_scored_on_the_classes_that_it_was_trained_on(bench: Bench) -> None:
    add_classes(bench, "f1", "test")
    bench.run("fake-0001", ("g1", "nuclei"), missing="small")
    bench.run("fake-0002", ("cytoplasm",))
    said = Silent()
    done = scores(bench, "bright", "fake-0001", "fake-0002", said=said)
    assert {m: set(found.classes) for m, found in done.models.items()} == {
        "bright": set(NAMES), "fake-0001": {"g1", "nuclei"},
    }  # fmt: skip
    assert "fake-0001 was trained on g1, nuclei, not on g2: left out" in said.notes
    assert "fake-0002 was trained on cytoplasm, not on g1: left out" in said.notes
    (compared,) = done.comparisons
    shared = np.mean([done.models["bright"].classes[name]["f1"] for name in ("g1", "nuclei")])
    assert compared.metrics["f1"].first == pytest.approx(shared)
    with pytest.raises(NothingToDoError, match="no model takes a class of split test"):
        scores(bench, "fake-0002")
    only = scores(bench, "bright", classes=("g2",))
    assert set(only.models["bright"].fields) == {"f1:g2"}


def test_a_class_that_is_not_verified_everywhere_is_left_out(bench: Bench) -> None:
    add_classes(bench, "f1", "test", labelled=("g1", "nuclei"))
    said = Silent()
    found = scores(bench, said=said).models["bright"]
    assert set(found.fields) == {"f1:g1", "f1:nuclei"}
    assert "not labelled by hand everywhere, so left out: f1:g2" in said.notes


def test_what_a_segmenter_cannot_take_is_left_out(bench: Bench) -> None:
    image, truth = class_scenes(0)
    classes = (
        ClassInfo(name="cells", seen=(0, 1)),
        ClassInfo(name="matrix", kind="area"),
        ClassInfo(name="nuclei", seen=(2,)),
    )
    labels = {
        "cells": truth["g1"],
        "matrix": (truth["g2"] == 0).astype(np.uint32),
        "nuclei": truth["g2"],
    }
    add = {"classes": classes, "labels": labels, "split": "test"}
    bench.store.add_field("f1", ArraySource(image), **add)
    config = {"classes": {"nuclei": {}, "matrix": {"kind": "area", "neither": ["nuclei"]}}}
    said = Silent()
    done = scores(bench, "classical", said=said, config={**config, **DRAWN})
    assert set(done.models["classical"].fields) == {"f1:nuclei"}
    assert "classical takes at most 1 channel, cells is seen in 2: left out" in said.notes
    assert "matrix is where none of nuclei is: nothing segments it: left out" in said.notes


def test_each_time_point_is_scored_as_an_image_of_its_own(bench: Bench) -> None:
    add_series(bench, "movie", "test")
    bench.run("fake-0001", missing="small", spurious=2)
    done = scores(bench, "bright", "fake-0001", config=DRAWN)
    assert list(done.models["bright"].fields) == [f"movie t{time}" for time in range(TIMES)]
    assert done.models["bright"].mean["f1"] == 1
    assert {p.name for p in done.pictures} == {f"movie_t{time}.png" for time in range(TIMES)}
    kept = json.loads(done.file.read_text())["models"]["fake-0001"]
    assert list(kept["fields"]) == list(done.models["fake-0001"].fields)
    assert set(kept) == {"mean", "intervals", "classes", "fields"}
    found = find_evaluated(bench.project, ["movie"], "fake-0001", None)
    for time in range(TIMES):
        nuclei, cases = read_cases(found, f"movie t{time}")
        assert sum(case.kind == "spurious" for case in cases) == 2
        scored = read_scored(bench.project, found, f"movie t{time}")
        assert scored is not None
        assert set(nuclei) == set(np.unique(scored.truth)[1:].tolist())


def test_pictures_are_named_after_the_labels(bench: Bench) -> None:
    add_classes(bench, "f1", "test")
    assert {p.name for p in scores(bench, config=DRAWN).pictures} == {
        f"f1~{name}.png" for name in NAMES
    }
