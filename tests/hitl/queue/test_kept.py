"""What is kept of the queue: equal to what is ranked anew, and never older than what it is of."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotations.fields import ClassInfo
from annotations.objects import ObjectTable, Status
from annotations.rounds import RoundInfo
from annotations.store import AnnotationStore
from hitl.project.config import parse_config
from hitl.project.errors import NothingToDoError
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from hitl.queue import kept
from hitl.queue.build import Queue, build_queue
from hitl.queue.entries import Entry
from tests.annotations.store_sources import ArraySource, by_model, proposed
from tests.hitl.fake_model import Bench, make_bench, scene
from tests.hitl.queue.balls import SHAPE, four_balls, image_of

NAMES = ("a", "b", "c")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Three fields of balls; only the test's own segmenter is asked."""
    made = make_bench(tmp_path, monkeypatch)
    monkeypatch.setattr("hitl.queue.alternatives.VARIANTS", {})
    for number, name in enumerate(NAMES):
        image = image_of(four_balls()) + number
        made.store.add_field(name, ArraySource(image[None]))
    with made.store.begin_round(by_model()) as round_:
        for name in NAMES:
            round_.set_labels(name, four_balls(), proposed([1, 2, 3, 4]))
    return made


@pytest.fixture
def ranked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is ranked, in order."""
    from hitl.queue import ranking

    rank, found = ranking.rank, []

    def noted(*arrays: Any, **options: Any) -> tuple[Entry, ...]:
        found.append(options["field"])
        return rank(*arrays, **options)

    monkeypatch.setattr(ranking, "rank", noted)
    return found


def queue(project: Project, *names: str, **options: Any) -> Queue:
    return build_queue(project, names, None, Silent(), **options)


def accept(store: AnnotationStore, name: str, number: int) -> None:
    with store.begin_round(RoundInfo(kind="correct", message="m", author="ann")) as round_:
        rows = round_.labels(name).objects
        columns = rows.to_arrays()
        accepted = np.where(columns["id"] == number, int(Status.ACCEPTED), columns["status"])
        columns["status"] = accepted
        round_.set_objects(name, ObjectTable.from_arrays(columns))


def test_only_what_was_touched_is_ranked_again(bench: Bench, ranked: list[str]) -> None:
    first = queue(bench.project)
    assert ranked == ["a", "b", "c"]
    assert queue(bench.project).entries == first.entries
    assert ranked == ["a", "b", "c"]
    accept(bench.store, "b", 2)
    after = queue(bench.project, "a", "b")
    assert ranked[3:] == ["b"]
    assert ("b", 2) not in {(e.field, e.id) for e in after.entries}
    assert {e for e in first.entries if e.field == "a"} == {
        e for e in after.entries if e.field == "a"
    }
    assert len(queue(bench.project).entries) == len(first.entries) - 1
    assert ranked[3:] == ["b"]


def test_kept_entries_are_those_that_are_ranked_anew(bench: Bench) -> None:
    queue(bench.project)
    accept(bench.store, "c", 1)
    from_files = queue(bench.project)
    assert queue(bench.project) == from_files
    shutil.rmtree(bench.project.folder / kept.FOLDER)
    assert queue(bench.project) == from_files


def test_other_runs_and_settings_rank_again(bench: Bench, ranked: list[str]) -> None:
    queue(bench.project)
    bench.run("fake-0001")
    assert "fake-0001" in queue(bench.project, "a").compared_with
    assert ranked[3:] == ["a"]
    bootstrap = {"segmenter": "bright", "clean": False}
    config = parse_config({"bootstrap": bootstrap, "segmenters": {"bright": {"shrink": 1}}})
    queue(Project(bench.project.folder, config), "a")
    assert ranked[3:] == ["a", "a"]


def test_a_field_that_was_added_again_under_its_name_is_ranked_again(
    bench: Bench, ranked: list[str]
) -> None:
    queue(bench.project)
    bench.store.remove_field("a")
    bench.store.add_field("a", ArraySource(image_of(four_balls())[None]))
    with pytest.raises(NothingToDoError, match="no labels"):
        queue(bench.project, "a")
    with bench.store.begin_round(by_model()) as round_:
        round_.set_labels("a", four_balls(), proposed([1, 2, 3, 4]))
    queue(bench.project)
    assert ranked[3:] == ["a"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "older"])
def test_a_damaged_or_older_file_is_made_again(
    bench: Bench, ranked: list[str], monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    before = queue(bench.project, "a")
    file = bench.project.folder / kept.FOLDER / "a.entries"
    good = file.read_bytes()
    at = good.index(b"score") + 9
    files = {
        "cut": good[:-20],
        "flipped": good[:at] + (b"7" if good[at : at + 1] != b"7" else b"8") + good[at + 1 :],
        "text": b"[]",
        "older": good,
    }
    file.write_bytes(files[damage])
    if damage == "older":
        monkeypatch.setattr(kept, "FORMAT", kept.FORMAT + 1)
    assert queue(bench.project, "a") == before
    assert ranked == ["a", "a"]
    assert damage == "older" or file.read_bytes() == good


@pytest.mark.parametrize("text", ["", "[1]", '{"head": 1, "commits": []}', '{"head": "x"}'])
def test_a_damaged_record_of_commits_is_made_again(
    bench: Bench, ranked: list[str], text: str
) -> None:
    before = queue(bench.project)
    file = bench.project.folder / kept.FOLDER / "commits.json"
    good = file.read_text()
    file.write_text(text)
    assert queue(bench.project) == before
    assert ranked == ["a", "b", "c"], "the commits are those that they were"
    assert file.read_text() == good


def test_where_nothing_can_be_kept_the_queue_is_told_all_the_same(
    bench: Bench, ranked: list[str]
) -> None:
    (bench.project.folder / kept.FOLDER).write_text("a file where the folder would be")
    told = Silent()
    first = build_queue(bench.project, ("a",), None, told)
    assert queue(bench.project, "a") == first
    assert ranked == ["a", "a"]
    assert "cannot be kept there" in told.notes[0]


def test_each_time_point_and_class_stands_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(tmp_path, monkeypatch)
    monkeypatch.setattr("hitl.queue.alternatives.VARIANTS", {})
    times, labels = 3, four_balls()
    image = np.stack([np.stack([image_of(labels) + t, image_of(labels[::-1])]) for t in range(3)])
    kinds = (
        ClassInfo(name="nuclei", seen=(0,)),
        ClassInfo(name="golgi", seen=(1,)),
        ClassInfo(name="bone", seen=(1,), kind="area"),
    )
    bench.store.add_field("s", ArraySource(image.astype(np.float32)), classes=kinds)
    planes = np.concatenate([np.where(labels > 0, labels + 10 * t, 0) for t in range(times)])
    ids = np.unique(planes[planes > 0]).tolist()
    with bench.store.begin_round(by_model()) as round_:
        for name in ("nuclei", "golgi"):
            round_.set_labels(f"s:{name}", planes.astype(np.uint32), proposed(ids))
        round_.set_labels("s:bone", (planes > 0).astype(np.uint32), proposed([1]))
    found = queue(bench.project)
    assert {e.field for e in found.entries} == {"s:nuclei", "s:golgi"}
    for entry in (e for e in found.entries if e.id is not None):
        assert entry.time == entry.id // 10
        z, y, x = entry.position_zyx
        assert planes[entry.time * SHAPE[0] + z, y, x] == entry.id
    assert {e.id for e in queue(bench.project, "s:golgi").entries} >= set(ids)
    (only,) = {(e.field, e.time) for e in queue(bench.project, classes=("golgi",), time=2).entries}
    assert only == ("s:golgi", 2)
    with pytest.raises(NothingToDoError, match="s:bone: an area has no objects"):
        queue(bench.project, "s:bone")


def test_a_projection_is_ranked_in_its_plane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(tmp_path, monkeypatch)
    image, labels = scene()
    flat = labels.max(axis=0, keepdims=True)
    bench.store.add_field(
        "f", ArraySource(image[None]), classes=(ClassInfo(name="nuclei", projection="max"),)
    )
    ids = np.unique(flat[flat > 0]).tolist()
    with bench.store.begin_round(by_model()) as round_:
        round_.set_labels("f", flat, proposed(ids))
    entries = queue(bench.project).entries
    assert {e.id for e in entries if e.id is not None} == set(ids)
    assert {e.position_zyx[0] for e in entries} == {0}
    assert all(np.isfinite(e.score) for e in entries)
