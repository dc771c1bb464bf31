"""A project with three classes in three channels, and a series of three time points."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from annotations.fields import ClassInfo
from hitl.evaluation.evaluate import evaluate
from hitl.evaluation.requests import EvaluateRequest
from hitl.labelling.bootstrap import bootstrap
from hitl.labelling.requests import BootstrapRequest
from hitl.project.folder import Project, write_json
from hitl.project.reporter import Silent
from hitl.project.runs import IN_USE
from tests.annotations.store_sources import ArraySource
from tests.hitl.fake_model import make_bench, scene

CHANNELS = ("Hoechst", "GFP", "Cy3")
CLASSES = tuple(
    ClassInfo(name=name, seen=(number,)) for number, name in enumerate(("nuclei", "g1", "g2"))
)
TIMES = 3


def classes_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Fields ``learn`` and ``tested`` of three classes, ``movie`` of one class and three times.

    What is scored is the bootstrap's segmenter, and a run in use that misses the small ones; it
    learned nuclei only.
    """
    bench = make_bench(folder, monkeypatch)
    for name, split, seed in (("learn", "train", 0), ("tested", "test", 3)):
        scenes = [scene(seed + number) for number in range(len(CLASSES))]
        source = ArraySource(np.stack([image for image, _ in scenes]))
        source.info = replace(source.info, channels=CHANNELS)
        truth = {c.name: labels for c, (_, labels) in zip(CLASSES, scenes, strict=True)}
        bench.store.add_field(
            name,
            source,
            classes=CLASSES,
            split=split,
            labels=truth if split == "test" else None,
            metadata={"condition": "drug", "well": "B3"},
        )
    frames = [scene(10 + time) for time in range(TIMES)]
    planes = np.concatenate(
        [np.where(labels > 0, labels + 100 * t, 0) for t, (_, labels) in enumerate(frames)]
    )
    bench.store.add_field(
        "movie",
        ArraySource(np.stack([image[None] for image, _ in frames])),
        split="test",
        labels={"nuclei": planes.astype(np.uint32)},
    )
    bootstrap(bench.project, BootstrapRequest(), Silent())
    bench.run("fake-0001", missing="small", spurious=2)
    evaluate(bench.project, EvaluateRequest(models=("bright", "fake-0001")), Silent())
    write_json(bench.project.folder / IN_USE, {"run": "fake-0001", "history": []})
    return bench.project
