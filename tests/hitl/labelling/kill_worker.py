"""Processes that work on a project and are killed, or that work on it all at once.

``python -m tests.hitl.labelling.kill_worker victims FOLDER``: for each line of JSON on standard
input a process does one thing, is killed after ``delay`` seconds (null: when it is done), and a
line of JSON says whether it was done by then and how long it took.
``python -m tests.hitl.labelling.kill_worker sessions FOLDER PROCESSES COMMITS``: as many people,
each committing as many rounds from a session of their own.

Everything is imported once, and children are forked before any process has opened a store:
a kill costs milliseconds.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from annotations.edits.compare import compare_labels
from annotations.edits.verified import verified_mask_update
from annotations.errors import ConflictError
from annotations.objects import ObjectTable
from hitl.labelling.exchange.importing import ImportRequest, import_labels
from hitl.labelling.merge import merge_proposal
from hitl.labelling.propose import propose
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from hitl.review.session.project_session import ProjectSession
from models.registry import MODELS
from tests.hitl.fake_model import TRAINED
from tests.hitl.labelling.loss_volumes import grown

MODELS["fake"] = TRAINED


def start_import(project: Project, what: dict[str, Any]) -> Callable[[], object]:
    request = ImportRequest(field="s", file=Path(what["file"]), annotator="bob")
    return lambda: import_labels(project, request, Silent())


def start_propose(project: Project, what: dict[str, Any]) -> Callable[[], object]:
    return lambda: propose(project, what["run"], (), Silent())


def edited(project: Project, what: dict[str, Any]) -> ProjectSession:
    opened = ProjectSession.open(project, "s", annotator="ann")
    opened.session.paint(grown(opened.session.labels, what["object"]))
    return opened


def start_draft(project: Project, what: dict[str, Any]) -> Callable[[], object]:
    return edited(project, what).save_draft


def start_commit(project: Project, what: dict[str, Any]) -> Callable[[], object]:
    opened = edited(project, what)
    opened.save_draft()
    return opened.commit


START = {
    "import": start_import,
    "propose": start_propose,
    "draft": start_draft,
    "commit": start_commit,
}


def warm_up() -> None:
    """Load compiled code; no store is opened and no thread stays."""
    one, other = np.zeros((2, 2, 9, 9), np.uint32)
    one[:, 2:4, 2:4], other[:, 2:4, 2:6] = 1, 1
    objects = ObjectTable.make([1], status=0, origin="model:m")
    edits = compare_labels(one, other, objects=objects)
    list(verified_mask_update(one, other, edits, shell=(1, 1, 1)))
    merge_proposal(one, np.zeros(one.shape, np.uint8), objects, other, {}, "model:m", 1)


def fork(work: Callable[[], object]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def victim(folder: str, what: dict[str, Any], end: int) -> None:
    act = START[what["action"]](Project.open(Path(folder)), what)
    os.write(end, b"!")
    act()
    os.write(end, b"!")
    signal.pause()


def kill_one(folder: str, what: dict[str, Any]) -> dict[str, Any]:
    reader, writer = os.pipe()
    pid = fork(lambda: victim(folder, what, writer))
    os.close(writer)
    begun = os.read(reader, 1)
    started = time.perf_counter()
    # Readable when the action is done, or the process has ended.
    select.select([reader], [], [], what["delay"])
    seconds = time.perf_counter() - started
    if what["delay"] is not None:
        time.sleep(max(0.0, what["delay"] - seconds))
    os.kill(pid, signal.SIGKILL)
    killed = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    done = os.read(reader, 1) == b"!"
    os.close(reader)
    return {"killed": killed and begun == b"!", "done": done, "seconds": seconds}


def victims(folder: str) -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(kill_one(folder, json.loads(line))), flush=True)


def commit_from_session(folder: str, who: int, commits: int) -> None:
    """Grow the `who`-th object by a voxel per round; whoever comes second tries again."""
    with ProjectSession.open(Project.open(Path(folder)), "s", annotator=f"person {who}") as opened:
        for n in range(commits):
            opened.session.paint(grown(opened.session.labels, who + 1))
            while True:
                try:
                    opened.commit(f"{who}/{n}")
                    break
                except ConflictError as error:
                    # Two people never meet here: each has an object of their own.
                    if "commit again" not in str(error):
                        raise


def sessions(folder: str, processes: int, commits: int) -> None:
    pids = [
        fork(lambda who=who: commit_from_session(folder, who, commits)) for who in range(processes)
    ]
    failed = [os.waitpid(pid, 0)[1] for pid in pids]
    if any(failed):
        sys.exit(1)


if __name__ == "__main__":
    warm_up()
    if sys.argv[1] == "sessions":
        sessions(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        victims(sys.argv[2])
