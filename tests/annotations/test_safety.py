"""What may go wrong around a store, and what must hold all the same."""

from __future__ import annotations

import gc
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import filelock
import icechunk
import numpy as np
import pytest

from annotations._guards import VerifiedError
from annotations.errors import LabelError, StoreError, StoreLockedError
from annotations.objects import ObjectTable, Status
from annotations.rounds import tag_name
from annotations.store import AnnotationStore
from tests import ROOT
from tests.annotations.store_sources import (
    ArraySource,
    bootstrapped,
    boxes,
    by_model,
    by_person,
    new_store,
    noise,
    proposed,
)
from tests.annotations.store_worker import HELD, HELD_ID, SHAPE, labels_of

KILLS = int(os.environ.get("HITL_TEST_KILLS", "12"))


def worker(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.annotations.store_worker", *arguments]


def tags(folder: Path) -> set[str]:
    storage = icechunk.local_filesystem_storage(str(folder))
    return set(icechunk.Repository.open(storage).list_tags())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("a small disk can be mounted by root only: run this test as root")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


# Verified voxels -------------------------------------------------------------------------------


def test_a_model_never_changes_a_verified_voxel(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    with store.begin_round(by_person()) as txn:
        txn.write_verified("a", (slice(15, 19), slice(20, 30), slice(18, 28)))
    before = store.log()[0].snapshot
    labels = boxes()
    labels[labels == 2] = 3
    with store.begin_round(by_model()) as txn:
        txn.set_labels("a", labels, proposed([1, 3, 7]))
    labels[18, 29, 27] = 0
    part = (slice(18, 19), slice(29, 30), slice(20, 30))
    for write in (
        lambda txn: txn.set_labels("a", labels, proposed([1, 3, 7])),
        lambda txn: txn.write_labels("a", part, labels[part]),
        lambda txn: txn.write_verified("a", (slice(0, 1), slice(0, 1), slice(0, 1))),
        lambda txn: txn.write_verified("a", np.s_[:, :, :], np.zeros(SHAPE, bool)),
    ):
        with pytest.raises(VerifiedError) as caught, store.begin_round(by_model()) as txn:
            write(txn)
        assert "'a'" in str(caught.value)
    assert len(store.rounds()) == 3
    assert np.all(store.labels("a").labels[15:19, 20:30, 18:28] == 7)
    assert store.round_snapshot(1) == before
    with store.begin_round(by_person()) as txn:
        txn.set_labels("a", labels, proposed([1, 3, 7]))
    assert store.labels("a").labels[18, 29, 27] == 0


def test_a_model_keeps_what_people_said_of_objects(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    with store.begin_round(by_person()) as txn:
        accepted = ObjectTable.make([2], status=Status.ACCEPTED, origin="person:anna", round=1)
        txn.set_objects("a", txn.labels("a").objects.updated(accepted))
    told = store.labels("a").objects
    rated = ObjectTable.make([2], status=1, origin="person:anna", confidence=[0.4], round=1)
    with store.begin_round(by_model()) as txn:
        txn.set_objects("a", told.updated(rated))
    for table in (told.select(told.id != 2), told.updated(proposed([2]))):
        with pytest.raises(VerifiedError, match="person"), store.begin_round(by_model()) as txn:
            txn.set_objects("a", table)
    assert store.labels("a").objects.confidence[1] == np.float32(0.4)


def test_labels_and_objects_must_agree(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    corner = (slice(19, 20), slice(39, 40), slice(29, 30))
    with pytest.raises(LabelError, match=r"1 id \(7\)"), store.begin_round(by_model()) as txn:
        txn.set_labels("a", boxes(), proposed([1, 2]))
    huge = boxes()
    huge[0, 0, 0] = 4294967295
    with pytest.raises(LabelError, match="4294967295"), store.begin_round(by_model()) as txn:
        txn.set_labels("a", huge, proposed([1, 2, 7]))
    with pytest.raises(LabelError, match="9"), store.begin_round(by_person()) as txn:
        txn.write_labels("a", corner, np.full((1, 1, 1), 9))
    rejected = ObjectTable.make([7], status=Status.REJECTED, origin="person:anna")
    with pytest.raises(LabelError, match="rejected"), store.begin_round(by_person()) as txn:
        txn.write_labels("a", corner, np.full((1, 1, 1), 7))
        txn.set_objects("a", proposed([1, 2]).updated(rejected))
    assert len(store.rounds()) == 1
    with store.begin_round(by_person()) as txn:
        txn.set_labels("a", huge, proposed([1, 2, 7, 4294967295]))
        txn.write_labels("a", corner, np.full((1, 1, 1), 9))
        txn.set_objects("a", proposed([1, 2, 7, 9, 4294967295]))
    assert store.labels("a").labels[-1, -1, -1] == 9


@pytest.mark.parametrize(
    ("region", "values", "message"),
    [
        ((slice(0, 1), slice(0, 1), slice(0, 2)), np.zeros((1, 1, 1), int), "region's shape"),
        ((slice(0, 21), slice(0, 1), slice(0, 1)), np.zeros((21, 1, 1), int), "inside the field"),
        ((slice(-1, 1), slice(0, 1), slice(0, 1)), np.zeros((1, 1, 1), int), "inside the field"),
        ((slice(0, 2, 2), slice(0, 1), slice(0, 1)), np.zeros((1, 1, 1), int), "step 1"),
        ((slice(0, 1), slice(0, 1), slice(0, 1)), np.zeros((1, 1, 1)), "whole numbers"),
        ((slice(0, 1), slice(0, 1), slice(0, 1)), np.full((1, 1, 1), -3), "from 0"),
    ],
)
def test_regions_and_values_are_checked(
    tmp_path: Path, region: tuple, values: np.ndarray, message: str
) -> None:
    store = bootstrapped(tmp_path / "store")
    with pytest.raises(LabelError, match=message), store.begin_round(by_person()) as txn:
        txn.write_labels("a", region, values)
    with pytest.raises(LabelError), store.begin_round(by_person()) as txn:
        txn.write_verified("a", region, values + 2)
    with pytest.raises(LabelError, match="shape"), store.begin_round(by_person()) as txn:
        txn.write_verified("a", np.s_[:, :, :], np.ones((20, 40, 31), bool))
    with pytest.raises(LabelError, match="shape"), store.begin_round(by_person()) as txn:
        txn.set_labels("a", np.ones((20, 40, 31), int), proposed([1]))
    assert len(store.rounds()) == 1


# Locks and permissions -------------------------------------------------------------------------


def test_a_locked_store_says_who_to_wait_for(tmp_path: Path) -> None:
    new_store(tmp_path / "store")
    store = AnnotationStore.open(tmp_path / "store", lock_timeout_s=0.1)
    lock_file = tmp_path / "store.lock"
    with filelock.FileLock(lock_file):
        with pytest.raises(StoreLockedError, match="wait until it is done") as caught:
            store.remove_field("a")
        assert str(lock_file) in str(caught.value)
        with pytest.raises(StoreLockedError), store.begin_round(by_person()):
            pass
        assert [info.name for info in store.fields()] == ["a"]
    store.remove_field("a")


def test_a_round_inside_a_round_is_refused(tmp_path: Path) -> None:
    new_store(tmp_path / "store")
    store = AnnotationStore.open(tmp_path / "store", lock_timeout_s=0.1)
    with (
        store.begin_round(by_person("outer")),
        pytest.raises(StoreLockedError),
        store.begin_round(by_person("inner")),
    ):
        pass
    assert [entry.message for entry in store.rounds()] == ["outer"]


def test_a_read_only_store_refuses_to_write(tmp_path: Path) -> None:
    bootstrapped(tmp_path / "store")
    store = AnnotationStore.open(tmp_path / "store", read_only=True)
    for write in (
        lambda: store.remove_field("a"),
        lambda: store.add_field("b", ArraySource(noise())),
        lambda: store.begin_round(by_person()).__enter__(),
    ):
        with pytest.raises(StoreError, match="opened read-only"):
            write()
    assert len(store.log()) == 3


def test_a_read_only_disk_can_be_read_and_not_written(small_disk: Path) -> None:
    bootstrapped(small_disk / "store")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    store = AnnotationStore.open(small_disk / "store", read_only=True)
    assert np.array_equal(store.labels("a", round=0).labels[...], boxes())
    assert len(store.rounds()) == 1
    store = AnnotationStore.open(small_disk / "store")
    with pytest.raises(StoreError, match="no permission"):
        store.remove_field("a")
    with pytest.raises(StoreError, match="no permission"):
        AnnotationStore.create(small_disk / "other")


def test_a_missing_tag_loses_no_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = bootstrapped(tmp_path / "store")
    with monkeypatch.context() as patch:
        patch.setattr(AnnotationStore, "_tag", lambda *_: None)
        with store.begin_round(by_person("killed before its tag")):
            pass
    assert tags(tmp_path / "store") == {"round-0000"}
    assert [entry.round for entry in store.rounds()] == [0, 1]
    assert store.labels("a", round=1).info.address == "a"
    with store.begin_round(by_person()) as txn:
        assert txn.number == 2
    assert tags(tmp_path / "store") == {tag_name(n) for n in range(3)}


# No space --------------------------------------------------------------------------------------


def test_a_full_disk_loses_nothing(small_disk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = bootstrapped(small_disk / "store")
    before = [entry.snapshot for entry in store.log()]
    with pytest.raises(StoreError, match="no space left there; nothing was changed") as caught:
        store.add_field("big", ArraySource(noise((1, 64, 512, 512), "uint8")))
    assert "\n" not in str(caught.value)
    assert not getattr(caught.value, "__notes__", [])
    # What the failed write left must not go on filling the disk.
    assert shutil.disk_usage(small_disk).free > 3 * 2**20
    (small_disk / "filler").write_bytes(bytes(shutil.disk_usage(small_disk).free - 4096))
    with pytest.raises(StoreError, match="no space left"), store.begin_round(by_person()) as txn:
        txn.set_labels("a", noise()[0].astype(np.uint32), proposed(list(range(1, 251))))
    assert [entry.snapshot for entry in store.log()] == before
    assert np.array_equal(store.labels("a").labels[...], boxes())
    (small_disk / "filler").unlink()
    with store.begin_round(by_person()) as txn:
        assert txn.number == 1
        txn.set_labels("a", boxes() * 2, proposed([2, 4, 14]))
    gc.collect()
    assert capfd.readouterr().err == ""


# Other processes -------------------------------------------------------------------------------


def test_processes_that_commit_at_once_all_land_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    new_store(folder)
    subprocess.run(worker("rounds", str(folder), "4", "5"), check=True, cwd=ROOT, timeout=300)
    store = AnnotationStore.open(folder)
    rounds = store.rounds()
    assert [entry.round for entry in rounds] == list(range(20))
    assert {entry.message for entry in rounds} == {f"{w}/{n}" for w in range(4) for n in range(5)}
    for who in range(4):
        mine = [entry.message for entry in rounds if entry.message.startswith(f"{who}/")]
        assert mine == [f"{who}/{n}" for n in range(5)]
    # Each round added one to what it found: none was built on anything but the one before it.
    assert store.labels("a").labels[0, 0, 0] == 20
    assert tags(folder) == {tag_name(n) for n in range(20)}


@pytest.mark.slow
def test_a_writer_killed_at_any_instant_leaves_the_last_round(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    labels = np.zeros(SHAPE, np.uint32)
    labels[HELD] = HELD_ID
    store = new_store(folder)
    with store.begin_round(by_person()) as txn:
        held = ObjectTable.make([HELD_ID], status=Status.ACCEPTED, origin="person:anna")
        txn.set_labels("a", labels, held)
        txn.write_verified("a", HELD)
    random.seed(0)
    done = 0
    with subprocess.Popen(
        worker("victims", str(folder)),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(KILLS):
            process.stdin.write(f"{random.uniform(0, 0.15)}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "killed\n"
            done = check_last_round(folder, done)
        process.stdin.close()
    assert done > KILLS
    store = AnnotationStore.open(folder, lock_timeout_s=1)
    with store.begin_round(by_person()) as txn:
        assert txn.number == done
    assert tags(folder) == {tag_name(n) for n in range(done + 1)}


def check_last_round(folder: Path, at_least: int) -> int:
    """Return the number of rounds of a store that must be whole."""
    store = AnnotationStore.open(folder)
    rounds = store.rounds()
    assert [entry.round for entry in rounds] == list(range(len(rounds)))
    assert len(rounds) >= at_least
    view = store.labels("a")
    if len(rounds) > 1:
        assert np.array_equal(view.labels[...], labels_of(len(rounds) - 1))
        assert view.objects.id.tolist() == [(len(rounds) - 1) % 7 + 1, HELD_ID]
    verified = np.zeros(SHAPE, np.uint8)
    verified[HELD] = 1
    assert np.array_equal(view.verified[...], verified)
    assert np.all(view.labels[HELD] == HELD_ID)
    for info in store.all_labels():
        assert np.array_equal(store.labels(info.address).image[...], noise())
    return len(rounds)
