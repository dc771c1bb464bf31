"""The queue of a project, and simulated rounds on its stacks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from annotations.formats import write_image_tiff, write_labels_tiff
from annotations.objects import Status
from annotations.rounds import RoundInfo
from hitl.labelling.add import add_stack
from hitl.labelling.bootstrap import bootstrap
from hitl.labelling.requests import AddRequest, BootstrapRequest
from hitl.project.config import parse_config
from hitl.project.errors import LeakageError, NothingToDoError
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from hitl.queue import QueueOptions
from hitl.queue.alternatives import VIEWS, ViewedSegmenter, predictors
from hitl.queue.build import build_queue
from hitl.simulate.project_stacks import simulate_project
from hitl.simulate.spheroids import SpheroidGenerator
from models.classical import ClassicalSegmenter

STACK = SpheroidGenerator(shape=(16, 56, 56), nuclei=25).make(1)
TRAINING = {
    "features": [4, 8],
    "epochs": 1,
    "steps_per_epoch": 2,
    "patch_size": [8, 32, 32],
    "threads": 1,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A stack to correct, one labelled by hand, and one of split test."""
    folder = tmp_path_factory.mktemp("queue")
    write_image_tiff(folder / "image.tif", STACK.image, STACK.spacing_um)
    write_image_tiff(folder / "other.tif", STACK.image[:, ::-1], STACK.spacing_um)
    write_labels_tiff(folder / "labels.tif", STACK.labels, STACK.spacing_um)
    made = Project.create(
        folder / "project",
        parse_config(
            {"bootstrap": {"segmenter": "classical"}, "training": {"models": {"unet3d": TRAINING}}}
        ),
    )
    for image, name, split, labels in (
        ("image.tif", "open", "train", None),
        ("image.tif", "known", "train", folder / "labels.tif"),
        ("other.tif", "held", "test", folder / "labels.tif"),
    ):
        add_stack(
            made, AddRequest(image=folder / image, name=name, split=split, labels=labels), Silent()
        )
    return made


@pytest.fixture(scope="module")
def bootstrapped(project: Project) -> Project:
    bootstrap(project, BootstrapRequest(stacks=("open",)), Silent())
    return project


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_turned_back(view: str) -> None:
    image = STACK.image[:, :50]
    plain = ClassicalSegmenter(diameter_um=12.0)
    seen = ViewedSegmenter(plain, view).segment(image, STACK.spacing_um).labels
    expected = plain.segment(image, STACK.spacing_um).labels
    assert seen.shape == image.shape
    assert np.mean((seen > 0) == (expected > 0)) > 0.97
    assert ViewedSegmenter(plain, view).describe() != plain.describe()


def test_the_queue_of_a_project(bootstrapped: Project) -> None:
    found = build_queue(bootstrapped, (), 10, Silent())
    assert len(found.entries) == 10 and found.open > 10
    assert {entry.stack for entry in found.entries} == {"open"}, "known is verified, held is test"
    assert [entry.chosen for entry in found.entries].count("random") == 1
    assert found.rest == found.open - 9
    labels = np.asarray(bootstrapped.store().stack("open").labels[...])
    for entry in found.entries:
        at = labels[entry.position_zyx]
        assert at == entry.id if entry.id is not None else at == 0
        assert entry.confidence is None or 0 <= entry.confidence <= 1
    json.dumps(found.to_dict(), allow_nan=False)
    assert found.to_dict()["entries"][0]["rank"] == 1
    assert found.table().row_count == 10
    assert build_queue(bootstrapped, ("open",), 10, Silent()).entries == found.entries


def test_segmentations_are_made_once(
    bootstrapped: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = build_queue(bootstrapped, (), None, Silent())
    assert len(every.entries) == every.open and every.rest == 0
    monkeypatch.setattr(ClassicalSegmenter, "segment", None)
    assert build_queue(bootstrapped, (), None, Silent()).entries == every.entries


def test_accepted_objects_leave_the_queue(bootstrapped: Project) -> None:
    before = build_queue(bootstrapped, (), None, Silent())
    first = next(entry for entry in before.entries if entry.id is not None)
    about = RoundInfo(kind="correct", message="accepts one", author="person:test")
    with bootstrapped.store(read_only=False).begin_round(about) as round_:
        view = round_.stack("open")
        columns = view.objects.to_arrays()
        chosen = columns["id"] == first.id
        columns["status"] = np.where(chosen, int(Status.ACCEPTED), columns["status"])
        round_.set_objects("open", type(view.objects).from_arrays(columns))
    after = build_queue(bootstrapped, (), None, Silent())
    assert first.id not in {entry.id for entry in after.entries}
    assert after.open == before.open - 1
    assert after.round == before.round + 1


def test_the_share_can_be_changed(bootstrapped: Project) -> None:
    none = build_queue(bootstrapped, (), 6, Silent(), QueueOptions(random_share=0))
    assert all(entry.chosen == "expected error" for entry in none.entries)
    half = build_queue(bootstrapped, (), 6, Silent(), QueueOptions(random_share=0.5))
    assert sum(entry.chosen == "random" for entry in half.entries) == 3


def test_without_labels_there_is_no_queue(tmp_path: Path) -> None:
    empty = Project.create(tmp_path / "empty", parse_config({}))
    with pytest.raises(NothingToDoError, match="hitl bootstrap"):
        build_queue(empty, (), None, Silent())


def test_what_people_labelled_has_nothing_left(project: Project) -> None:
    with pytest.raises(NothingToDoError, match="nothing is left"):
        build_queue(project, ("known",), None, Silent())
    with pytest.raises(NothingToDoError, match="limit"):
        build_queue(project, ("known",), 0, Silent())


def test_other_models_are_named_apart(project: Project) -> None:
    names = [predictor.name for predictor in predictors(project, Silent())]
    assert len(set(names)) == len(names)
    assert "classical" in names and "classical@fine" in names


def test_simulated_rounds_of_a_project(project: Project) -> None:
    rounds = len(project.store().rounds())
    done = simulate_project(project, strategies=["queue", "random"], repeats=1, reporter=Silent())
    assert done.stacks == ("known",)
    assert all(curves[0].points[-1].f1 == 1 for curves in done.curves.values())
    assert len(project.store().rounds()) == rounds
    with pytest.raises(NothingToDoError, match="open is not labelled"):
        simulate_project(project, stacks=("open",), reporter=Silent())
    with pytest.raises(LeakageError, match="held is of split test"):
        simulate_project(project, stacks=("held",), rounds=1, retrain="unet3d", reporter=Silent())


@pytest.mark.slow
def test_a_model_may_be_trained_each_round(project: Project) -> None:
    done = simulate_project(
        project,
        rounds=2,
        objects_per_round=4,
        strategies=["queue"],
        repeats=1,
        retrain="unet3d",
        reporter=Silent(),
    )
    points = done.curves["queue"][0].points
    assert done.retrained == "unet3d"
    assert [p.round for p in points][-1] == 2
    assert points[-1].objects == points[-2].objects, "the last point is that of the new proposals"
    assert not project.finished_runs()
