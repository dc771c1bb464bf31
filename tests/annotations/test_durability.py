"""What was told is on the disk, and what is on the disk opens."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from annotations.durability import sums
from annotations.store import AnnotationStore
from tests.annotations.power_loss import Disk, write_tree
from tests.annotations.readback import newest
from tests.annotations.store_sources import (
    ArraySource,
    bootstrapped,
    boxes,
    by_person,
    noise,
    proposed,
)

LABELS = noise(seed=7)[0].astype(np.uint32)
"""Labels whose chunks are too large for a manifest, so that they lie in files of their own."""


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are compared anew: these tests change them faster than a file's time can tell."""
    monkeypatch.setattr(sums, "_KNOWN", {})


def commit_round(folder: Path) -> None:
    store = AnnotationStore.open(folder)
    with store.begin_round(by_person()) as txn:
        txn.set_labels("a", LABELS, proposed(list(range(1, 250)), txn.number))
        txn.write_verified("a", np.s_[0:20, 0:40, 0:30], LABELS % 2)


def add(folder: Path) -> None:
    AnnotationStore.open(folder).add_field(
        "b", ArraySource(noise((3, 20, 40, 30), seed=4)), labels={"nuclei": boxes()}
    )


@pytest.mark.parametrize("change", [commit_round, add])
def test_a_power_cut_at_any_moment_leaves_the_old_round_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    bootstrapped(root / "store")
    old = newest(root / "store")
    disk = Disk(root)
    with monkeypatch.context() as patch:
        disk.record(patch)
        change(root / "store")
    new = newest(root / "store")
    assert old != new
    seen: set[int] = set()
    for what, state in disk.points:
        for kept, contents in state.after_power_loss():
            found = hash(frozenset(contents.items()))
            if found in seen:
                continue
            seen.add(found)
            after = tmp_path / "after"
            write_tree(after, contents)
            sums._KNOWN.clear()
            assert newest(after / "store") in (old, new), f"{what}: {kept}"
            shutil.rmtree(after)
    assert len(disk.points) >= 50
    assert len(seen) > 40
    for kept, contents in disk.state().after_power_loss():
        write_tree(tmp_path / kept, contents)
        assert newest(tmp_path / kept / "store") == new, kept
        AnnotationStore.open(tmp_path / kept / "store").add_field("c", ArraySource(noise(seed=9)))


def test_all_of_a_commit_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bootstrapped(tmp_path / "store")
    disk = Disk(tmp_path)
    disk.record(monkeypatch)
    commit_round(tmp_path / "store")
    state = disk.state()
    inside = {path for path in state.there if path.parts[0] == "store"}
    assert inside <= set(state.sure())
    assert {path for path in inside if state.there[path] not in state.synced} == set()


def test_a_new_store_is_whole_after_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    disk = Disk(root)
    with monkeypatch.context() as patch:
        disk.record(patch)
        AnnotationStore.create(root / "store")
    for kept, contents in disk.state().after_power_loss():
        write_tree(tmp_path / kept, contents)
        assert [e.kind for e in AnnotationStore.open(tmp_path / kept / "store").log()] == ["create"]


def test_a_commit_does_not_read_the_history(tmp_path: Path) -> None:
    """What a commit waits for is its own: its time does not grow with the files of the store."""
    bootstrapped(tmp_path / "store")
    chunks = tmp_path / "store" / "chunks"
    for number in range(200):
        (chunks / f"OLD{number:017d}").touch()
    opened: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        from labels import files

        sync = files.sync_file
        patch.setattr(files, "sync_file", lambda path: (opened.append(path.name), sync(path)))
        commit_round(tmp_path / "store")
    assert opened
    assert not [name for name in opened if name.startswith("OLD")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labels = AnnotationStore.open(tmp_path / "store").labels("a").labels[...]
    assert np.array_equal(labels, LABELS)
