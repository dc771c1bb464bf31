"""Processes that write to one store at once, or die doing so. Run as a module, with a mode.

``rounds FOLDER PROCESSES COMMITS``: as many processes, each committing as many rounds.
``victims FOLDER``: for each delay in seconds on standard input, a process that writes without end
and is killed that long after its first round.

Children are forked before any of them has opened a store, and after the kernels were loaded that
count what a round wrote: both take seconds.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable

import numpy as np

from annotations.store import AnnotationStore
from labels.kernels import count_runs
from tests.annotations.store_sources import ArraySource, by_model, by_person, noise, proposed

SHAPE = (20, 40, 30)
HELD = (slice(0, 4), slice(0, 40), slice(0, 30))
"""The region that a person has verified, in which every voxel is `HELD_ID`."""
HELD_ID = 5000


def labels_of(number: int) -> np.ndarray:
    """What the labels are after round `number` of the victims."""
    labels = np.full(SHAPE, number % 7 + 1, np.uint32)
    labels[HELD] = HELD_ID
    return labels


def commit_rounds(folder: str, who: int, commits: int) -> None:
    store = AnnotationStore.open(folder, lock_timeout_s=120)
    for n in range(commits):
        with store.begin_round(by_person(f"{who}/{n}")) as txn:
            before = int(txn.labels("a").labels[0, 0, 0])
            corner = (slice(0, 1), slice(0, 1), slice(0, 1))
            txn.write_labels("a", corner, np.full((1, 1, 1), before + 1))
            txn.set_objects("a", proposed(list(range(1, before + 2)), txn.number))


def write_until_killed(folder: str, started: Callable[[], None]) -> None:
    store = AnnotationStore.open(folder)
    while True:
        with store.begin_round(by_model()) as txn:
            labels = labels_of(txn.number)
            kept = txn.labels("a").objects
            objects = proposed([txn.number % 7 + 1], txn.number).updated(
                kept.select(kept.id == HELD_ID)
            )
            txn.set_labels("a", labels, objects)
        # From here on: the first round of a process also starts threads and imports modules.
        started()
        store.add_field(f"extra-{time.time_ns()}", ArraySource(noise()))


def _fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _rounds(folder: str, processes: int, commits: int) -> None:
    pids = [_fork(lambda who=who: commit_rounds(folder, who, commits)) for who in range(processes)]
    if any(os.waitpid(pid, 0)[1] for pid in pids):
        sys.exit(1)


def _victims(folder: str) -> None:
    for line in sys.stdin:
        reader, writer = os.pipe()

        def started(end: int = writer) -> None:
            os.write(end, b"!")

        pid = _fork(lambda started=started: write_until_killed(folder, started))
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)
        time.sleep(float(line))
        os.kill(pid, signal.SIGKILL)
        died = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
        print("killed" if died else "gave up", flush=True)


if __name__ == "__main__":
    count_runs(np.dtype(np.uint32))
    if sys.argv[1] == "rounds":
        _rounds(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        _victims(sys.argv[2])
