"""Whatever kills a process, and whoever else works meanwhile: every round and draft is there.

``HITL_TEST_KILLS`` is the number of kills per action (of four), ``HITL_TEST_COMMITS`` the number
of rounds of each of several processes.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
from numpy.typing import NDArray

from annotations.errors import ConflictError
from annotations.formats.tiff_write import write_labels_tiff
from annotations.rounds import RoundInfo, tag_name
from annotations.store import AnnotationStore
from hitl.labelling.exchange.export import export
from hitl.labelling.exchange.importing import ImportRequest, import_labels
from hitl.labelling.merge import merge_proposal
from hitl.prediction.segmenters import run_segmenter
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from hitl.review.errors import DraftConflictError
from hitl.review.session.draft import read_draft
from hitl.review.session.project_session import ProjectSession
from models.registry import MODELS
from tests import ROOT
from tests.annotations.store_sources import SPACING_UM, new_store
from tests.hitl.fake_model import TRAINED, Bench
from tests.hitl.labelling.loss_volumes import HELD, OF_TOOL, OF_WINDOW, PATHS, grown, make_project

KILLS = int(os.environ.get("HITL_TEST_KILLS", "3"))
COMMITS = int(os.environ.get("HITL_TEST_COMMITS", "3"))
PROCESSES = 8
PEOPLE = 3
ACTIONS = ("import", "propose", "draft", "commit")

Labels = NDArray[np.uint32]


@contextmanager
def victims(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.hitl.labelling.kill_worker", "victims", str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()


def send(process: subprocess.Popen[str], request: dict[str, Any]) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    reply: dict[str, Any] = json.loads(process.stdout.readline())
    assert reply["killed"], "it ended by itself: its error is above"
    return reply


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def tags(project: Project) -> set[str]:
    storage = icechunk.local_filesystem_storage(str(project.folder / project.config.store))
    return set(icechunk.Repository.open(storage).list_tags())


def stored(project: Project) -> Labels:
    return np.asarray(project.store().labels("s").labels[...])


def corrected(project: Project, folder: Path, labels: Labels) -> Path:
    """An export whose labels a tool has saved anew."""
    file = Path(export(project, "s", folder, "tiff", None, SILENT).labels)
    write_labels_tiff(file, labels, SPACING_UM, overwrite=True)
    return file


@dataclass
class World:
    """What must be in a project: kept beside it, and followed only where a whole step was done."""

    project: Project
    folder: Path
    labels: Labels = field(init=False)
    verified: NDArray[np.uint8] = field(init=False)
    rounds: int = 1
    pending: int = 0
    """Voxels that the draft adds."""
    proposals: int = 0
    landed: Counter[str] = field(default_factory=Counter)
    within: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.labels, self.verified = self.read()
        MODELS["fake"] = TRAINED
        bench = Bench(self.project, self.labels)
        bench.run("run-0000", shrink=1)
        bench.run("run-0001", missing="small", spurious=3)

    def read(self) -> tuple[Labels, NDArray[np.uint8]]:
        view = self.project.store().labels("s")
        return np.asarray(view.labels[...]), np.asarray(view.verified[...])

    def at_hand(self, more: int = 0) -> Labels:
        """Labels of the store with those of the draft, and `more` voxels."""
        labels = self.labels
        for _ in range(self.pending + more):
            labels = grown(labels, OF_WINDOW)
        return labels

    def request(self, action: str, number: int) -> tuple[dict[str, Any], Labels]:
        """Return what the worker is asked, and the labels of the round that it makes."""
        match action:
            case "import":
                sent = export(
                    self.project, "s", self.folder / f"out-{number}", "tiff", None, SILENT
                )
                after = grown(self.labels, OF_TOOL)
                write_labels_tiff(Path(sent.labels), after, SPACING_UM, overwrite=True)
                return {"file": sent.labels}, after
            case "propose":
                run = f"run-{self.proposals % 2:04d}"
                return {"run": run}, self.proposed(run)
        after = self.labels if action == "draft" else self.at_hand(1)
        return {"object": OF_WINDOW}, after

    def proposed(self, run: str) -> Labels:
        view = self.project.store().labels("s")
        segmenter = run_segmenter(self.project.run(run))
        found = segmenter.segment_whole(view, SILENT)
        args = (view.objects, found.labels, found.confidence, f"model:{run}", self.rounds)
        return merge_proposal(self.labels, self.verified, *args)[0]

    def check(self, action: str, after: Labels, done: bool) -> None:
        """Check a project whose user was killed, and follow what landed."""
        store = Project.open(self.project.folder).store()
        rounds = [entry.round for entry in store.rounds()]
        landed = len(rounds) - self.rounds
        assert rounds == list(range(self.rounds + landed))
        assert landed == (action != "draft") if done else landed in (0, action != "draft")
        labels, verified = self.read()
        assert np.array_equal(labels, after if landed else self.labels)
        ids = store.labels("s").objects.live_ids
        assert np.array_equal(ids, np.unique(labels[labels > 0]))
        self.check_verified(action, labels, verified, bool(landed))
        self.check_draft(action, labels, done, bool(landed))
        self.labels, self.verified, self.rounds = labels, verified, len(rounds)
        self.proposals += landed and action == "propose"
        self.landed[action] += landed or (action == "draft" and done)
        self.within[action] += not done

    def check_verified(
        self, action: str, labels: Labels, verified: NDArray[np.uint8], landed: bool
    ) -> None:
        assert verified[HELD].all()
        changed = (labels != self.labels) & (self.verified > 0)
        if not landed or action == "propose":
            assert np.array_equal(verified, self.verified)
            assert not changed.any()
            return
        assert np.all(verified >= self.verified)
        # A person may change what was verified, here only where their own object grows.
        changed[PATHS[OF_TOOL if action == "import" else OF_WINDOW]] = False
        assert not changed.any()

    def check_draft(self, action: str, labels: Labels, done: bool, landed: bool) -> None:
        before, self.labels = self.labels, labels
        if action == "commit":
            # It was saved before the commit began.
            self.pending = 0 if landed else self.pending + 1
        with ProjectSession.open(self.project, "s", annotator="ann") as opened:
            here = opened.session.labels
            if action == "draft" and (done or np.array_equal(here, self.at_hand(1))):
                self.pending += 1
            assert np.array_equal(here, self.at_hand())
            assert bool(opened.session.changes()) == bool(self.pending)
        assert opened.draft_file.exists() == bool(self.pending)
        leftovers = [p.name for p in opened.draft_file.parent.iterdir() if p.name[0] == "."]
        assert leftovers == []
        self.labels = before


SILENT = Silent()


# Kills -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_kills_at_any_instant_lose_nothing(tmp_path: Path) -> None:
    world = World(make_project(tmp_path / "project"), tmp_path)
    random.seed(0)
    with victims(world.project.folder) as process:
        usual = {}
        # Instants spread over the time that each action takes, and a little beyond, in any order;
        # the first of each is killed when it is done.
        parts = {action: random.sample(range(KILLS), KILLS) for action in ACTIONS}
        for number in range(-1, KILLS):
            for action in ACTIONS:
                what, after = world.request(action, number)
                kept = sha256(Path(what["file"])) if "file" in what else ""
                delay = None
                if number >= 0:
                    delay = (parts[action][number] + random.random()) / KILLS * usual[action] * 1.1
                reply = send(process, {"action": action, "delay": delay, **what})
                # A machine that is busier or freer than it was takes another time.
                if reply["done"] or reply["seconds"] > usual[action]:
                    usual[action] = reply["seconds"]
                world.check(action, after, reply["done"])
                assert not kept or sha256(Path(what["file"])) == kept
    print(f"killed before the end: {dict(world.within)}, landed: {dict(world.landed)}")
    assert sum(world.within.values()) >= KILLS
    finish(world)


def finish(world: World) -> None:
    """The next round goes on from the last one, and what killed writers left can be swept."""
    store = world.project.store(read_only=False)
    with store.begin_round(RoundInfo(kind="correct", message="last", author="ann")) as txn:
        assert txn.number == world.rounds
    assert tags(world.project) == {tag_name(n) for n in range(world.rounds + 1)}
    store.collect_garbage(timedelta(0))
    for number in range(world.rounds + 1):
        view = AnnotationStore.open(store.location).labels("s", round=number)
        assert np.all(view.labels[HELD] == world.labels[HELD])
    assert np.array_equal(world.read()[0], world.labels)


# Several at once -------------------------------------------------------------------------------


def check_messages(messages: list[str], processes: int) -> None:
    assert sorted(messages) == sorted(f"{w}/{n}" for w in range(processes) for n in range(COMMITS))
    for who in range(processes):
        mine = [message for message in messages if message.startswith(f"{who}/")]
        assert mine == [f"{who}/{n}" for n in range(COMMITS)]


def run_worker(module: str, mode: str, folder: Path, processes: int) -> None:
    command = [sys.executable, "-m", module, mode, str(folder), str(processes), str(COMMITS)]
    subprocess.run(command, check=True, cwd=ROOT, timeout=60 + 5 * processes * COMMITS)


def test_rounds_of_many_processes_all_land_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    new_store(folder)
    run_worker("tests.annotations.store_worker", "rounds", folder, PROCESSES)
    store = AnnotationStore.open(folder)
    rounds = store.rounds()
    assert [entry.round for entry in rounds] == list(range(PROCESSES * COMMITS))
    check_messages([entry.message for entry in rounds], PROCESSES)
    # Each round added one to what it found: none was built on anything but the one before it.
    assert store.labels("a").labels[0, 0, 0] == PROCESSES * COMMITS


@pytest.mark.slow
def test_many_people_at_one_field_all_land(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    before = stored(project)
    run_worker("tests.hitl.labelling.kill_worker", "sessions", project.folder, PEOPLE)
    store = project.store()
    rounds = store.rounds()
    assert [entry.round for entry in rounds] == list(range(PEOPLE * COMMITS + 1))
    check_messages([entry.message for entry in rounds[1:]], PEOPLE)
    for object_id in range(1, PEOPLE + 1):
        for _ in range(COMMITS):
            before = grown(before, object_id)
    assert np.array_equal(stored(project), before)


def test_files_of_two_people_land_or_conflict_and_are_kept(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    start = stored(project)
    edited = {
        "ann": grown(start, OF_WINDOW),
        "bob": grown(start, OF_TOOL),
        "cleo": grown(grown(start, OF_TOOL), OF_TOOL),
    }
    files = {who: corrected(project, tmp_path / who, labels) for who, labels in edited.items()}
    kept = {who: sha256(file) for who, file in files.items()}
    for who in ("ann", "bob"):
        request = ImportRequest(field="s", file=files[who], annotator=who)
        import_labels(project, request, SILENT)
    landed = grown(edited["ann"], OF_TOOL)
    assert np.array_equal(stored(project), landed)
    request = ImportRequest(field="s", file=files["cleo"], annotator="cleo")
    with pytest.raises(ConflictError, match=rf"objects {OF_TOOL};.*nothing was written"):
        import_labels(project, request, SILENT)
    assert [entry.author for entry in project.store().rounds()] == ["ann", "ann", "bob"]
    assert np.array_equal(stored(project), landed)
    assert {who: sha256(file) for who, file in files.items()} == kept


def test_a_draft_meets_a_file_of_somebody_else(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    start = stored(project)
    file = corrected(project, tmp_path / "bob", grown(start, OF_TOOL))
    with (
        ProjectSession.open(project, "s", annotator="ann") as ann,
        ProjectSession.open(project, "s", annotator="cleo") as cleo,
    ):
        ann.session.paint(grown(ann.session.labels, OF_WINDOW))
        cleo.session.paint(grown(grown(cleo.session.labels, OF_TOOL), OF_TOOL))
        hers = cleo.session.labels.copy()
        import_labels(project, ImportRequest(field="s", file=file, annotator="bob"), SILENT)
        assert ann.commit().round == 2
        with pytest.raises(DraftConflictError, match="Nothing was overwritten"):
            cleo.commit()
        assert np.array_equal(cleo.session.labels, hers)
    draft = read_draft(cleo.draft_file)
    assert draft is not None
    assert draft.header.handled == (OF_TOOL,)
    landed = grown(grown(start, OF_TOOL), OF_WINDOW)
    assert np.array_equal(stored(project), landed)
    assert len(project.store().rounds()) == 3
