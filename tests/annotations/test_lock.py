"""Who waits for whom."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import pytest

from annotations import _lock
from annotations._lock import acquire
from annotations.errors import StoreLockedError, StoreWarning
from annotations.store import AnnotationStore
from tests.annotations.store_sources import new_store

HOLD = """
import sys, time
from pathlib import Path
from annotations._lock import acquire
lock = acquire(Path(sys.argv[1]), "store", None)
print("held", flush=True)
time.sleep(float(sys.argv[2]))
lock.release()
"""


@contextmanager
def held_elsewhere(file: Path, seconds: float) -> Iterator[int]:
    """Another process that holds the lock for a while."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file), str(seconds)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process.pid
        process.kill()


def test_a_wait_is_told_and_ends_when_the_other_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lock, "NOTE_AFTER_S", 0.05)
    new_store(tmp_path / "store")
    store = AnnotationStore.open(tmp_path / "store")
    with (
        held_elsewhere(tmp_path / "store.lock", 0.6) as pid,
        pytest.warns(StoreWarning, match=f"process {pid} on {socket.gethostname()}.*waiting"),
    ):
        store.remove_field("a")
    assert store.fields() == []


def test_a_wait_that_is_limited_ends(tmp_path: Path) -> None:
    with (
        held_elsewhere(tmp_path / "lock", 30) as pid,
        pytest.raises(StoreLockedError, match=rf"process {pid} on .* waited 0\.1 s"),
    ):
        acquire(tmp_path / "lock", "store", 0.1)


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path / "lock", 30):
        pass
    acquire(tmp_path / "lock", "store", 5).release()


@pytest.fixture
def no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without file locks, as some network disks are."""

    def missing(*_: object) -> None:
        raise OSError(errno.ENOSYS, "no locks here")

    monkeypatch.setattr(fcntl, "flock", missing)


@pytest.mark.usefixtures("no_flock")
def test_without_file_locks_the_file_of_a_dead_process_does_not_block(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    file = tmp_path / "lock"
    file.write_text(f"{dead.pid}\n{socket.gethostname()}\n")
    acquire(file, "store", 5).release()
    # What a holder with file locks leaves names nobody in the form of one without.
    file.write_text(_lock._myself())
    acquire(file, "store", 10).release()


@pytest.mark.usefixtures("no_flock")
def test_without_file_locks_an_old_empty_file_does_not_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lock, "NOTE_AFTER_S", 0.05)
    file = tmp_path / "lock"
    file.touch()
    os.utime(file, (time.time() - 3600,) * 2)
    with pytest.warns(StoreWarning):
        acquire(file, "store", 5).release()


@pytest.mark.usefixtures("no_flock")
def test_without_file_locks_a_living_holder_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    lock = acquire(file, "store", 5)
    assert isinstance(lock, filelock.SoftFileLock)
    refused: list[BaseException] = []

    def wait() -> None:
        try:
            acquire(file, "store", 0.2)
        except StoreLockedError as error:
            refused.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert str(os.getpid()) in str(refused[0])
    lock.release()
    assert not file.exists()
