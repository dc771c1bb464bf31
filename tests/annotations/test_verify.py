"""Damage: each flipped bit and lost file is harmless or named, and what is whole stays open."""

from __future__ import annotations

import json
import os
import random
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import icechunk
import numpy as np
import pytest

from annotations.damage import damage_in
from annotations.durability import chunk_files as files_of_chunks
from annotations.durability import sums
from annotations.durability.manifests import ArrayChunks, file_name, read_manifest
from annotations.errors import AnnotationError, DamagedStoreError, StoreError, StoreWarning
from annotations.repair import repair
from annotations.store import AnnotationStore
from annotations.verify import verify
from labels.numbers import spans
from tests.annotations.readback import everything, newest
from tests.annotations.store_sources import (
    ArraySource,
    bootstrapped,
    boxes,
    by_person,
    new_store,
    noise,
    proposed,
)

FLIPS = int(os.environ.get("HITL_TEST_FLIPS", "24"))


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are compared anew: these tests change them faster than a file's time can tell."""
    monkeypatch.setattr(sums, "_KNOWN", {})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two fields and three rounds, with every kind of file."""
    folder = tmp_path_factory.mktemp("made") / "store"
    store = bootstrapped(folder)
    store.add_field("b", ArraySource(noise(seed=2)), split="test", labels={"nuclei": boxes()})
    with store.begin_round(by_person("first")) as txn:
        labels = noise(seed=7)[0].astype(np.uint32)
        txn.set_labels("a", labels, proposed(list(range(1, 250)), txn.number))
    with store.begin_round(by_person("second")) as txn:
        txn.write_verified("a", (slice(0, 5), slice(0, 40), slice(0, 30)))
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "store"))


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def newest_snapshot(folder: Path) -> str:
    return AnnotationStore.open(folder, read_only=True).log()[0].snapshot


def flips(folder: Path, count: int) -> Iterator[tuple[Path, int]]:
    """Give files, each kind as often as the others, and a bit of each."""
    kinds: dict[str, list[Path]] = {}
    for file in files_of(folder):
        kinds.setdefault(file.relative_to(folder).parts[0], []).append(file)
    chance = random.Random(0)
    for number in range(count):
        kind = sorted(kinds)[number % len(kinds)]
        file = chance.choice(kinds[kind])
        yield file, chance.randrange(8 * file.stat().st_size)


def test_a_flipped_bit_is_harmless_or_named(store: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = everything(store)
    wrong = []
    for file, bit in flips(store, FLIPS):
        data = file.read_bytes()
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        sums._KNOWN.clear()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", StoreWarning)
            try:
                same = everything(store) == before
            except Exception as error:
                assert isinstance(error, AnnotationError) or damage_in(error), error
            else:
                if not same and not told:
                    wrong.append((file, bit))
        file.write_bytes(data)
    assert wrong == []
    sums._KNOWN.clear()
    assert everything(store) == before


@pytest.mark.parametrize("how", ["flipped", "gone", "empty"])
def test_verify_names_every_damaged_file(store: Path, how: str) -> None:
    assert verify(store, deep=True).findings == ()
    for file in files_of(store):
        data = file.read_bytes()
        if how == "gone":
            file.unlink()
        else:
            middle = len(data) // 2
            changed = data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1 :]
            file.write_bytes(b"" if how == "empty" else changed)
        sums._KNOWN.clear()
        name = str(file.relative_to(store))
        named = {finding.file for finding in verify(store, deep=True).findings}
        # The tag of a writer that was killed is made by the next: its absence is no damage.
        expected = set() if how == "gone" and "tag." in name else {name}
        assert named == expected
        file.write_bytes(data)


def test_damage_is_told_with_what_it_holds_and_what_needs_it(store: Path) -> None:
    path, (chunk,) = "fields/a/labels/nuclei/0", chunk_files(store, "fields/a/labels/nuclei/0")[:1]
    (store / "chunks" / chunk).unlink()
    for deep in (False, True):
        found = verify(store, deep=deep)
        (finding,) = found.findings
        assert finding.file == f"chunks/{chunk}"
        assert finding.problem == "gone"
        assert finding.holds.startswith(f"{path} z ")
        assert finding.rounds == (1, 2)
        assert finding.newest
        assert found.whole_rounds == (0,)
    with pytest.raises(DamagedStoreError, match=f"chunks/{chunk} is gone"):
        AnnotationStore.open(store).check()


def test_a_chunk_of_an_earlier_round_is_found_by_reading_all(store: Path) -> None:
    with AnnotationStore.open(store).begin_round(by_person()) as txn:
        txn.set_labels("a", boxes(), proposed([1, 2, 7], txn.number))
    old = chunk_files(store, "fields/a/labels/nuclei/0", round=2)[0]
    data = bytearray((store / "chunks" / old).read_bytes())
    data[100] ^= 1
    (store / "chunks" / old).write_bytes(data)
    assert verify(store).findings == ()
    (finding,) = verify(store, deep=True).findings
    assert (finding.problem, finding.rounds, finding.newest) == ("damaged", (1, 2), False)
    assert verify(store, deep=True).whole_rounds == (0, 3)


def test_no_manifest_is_read_again_for_each_damaged_chunk(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = list((store / "chunks").iterdir())
    for chunk in chunks:
        chunk.unlink()
    reads: list[bytes] = []

    def counted(data: bytes) -> list[ArrayChunks]:
        reads.append(data)
        return read_manifest(data)

    monkeypatch.setattr(files_of_chunks, "read_manifest", counted)
    found = verify(store, deep=True)
    assert {finding.problem for finding in found.findings} == {"gone"}
    assert len(found.findings) == len(chunks) > 4
    assert all(finding.rounds or not finding.newest for finding in found.findings)
    # Once to list the chunks, once to tell who needs each.
    assert len(reads) == 2 * len(set(reads))


def chunk_files(folder: Path, array: str, round: int | None = None) -> list[str]:
    """The names of the chunk files of an array."""
    store = AnnotationStore.open(folder, read_only=True)
    snapshot = newest_snapshot(folder) if round is None else store.round_snapshot(round)
    nodes = json.loads(store._repository.inspect_snapshot(snapshot))["nodes"]
    refs = next(n["manifest_refs"] for n in nodes if n["path"] == f"/{array}")
    return [
        file_name(identity)
        for ref in refs
        for found in read_manifest((folder / "manifests" / ref["id"]).read_bytes())
        for identity in found.sizes
    ]


@pytest.mark.parametrize("how", ["empty", "gone"])
def test_a_torn_newest_commit_opens_at_the_one_before(store: Path, how: str) -> None:
    log = AnnotationStore.open(store).log()
    whole = AnnotationStore.open(store).labels("a", round=1)
    torn = store / "snapshots" / log[0].snapshot
    torn.write_bytes(b"") if how == "empty" else torn.unlink()
    before = files_of(store)
    with pytest.warns(StoreWarning, match=r"newest commit is torn .*hitl verify PROJECT --repair"):
        opened = AnnotationStore.open(store)
    assert opened.damage is not None
    assert [entry.snapshot for entry in opened.log()] == [entry.snapshot for entry in log[1:]]
    assert np.array_equal(opened.labels("a").labels[...], whole.labels[...])
    with pytest.raises(DamagedStoreError, match="nothing can be written"):
        opened.remove_field("a")
    assert files_of(store) == before
    done = repair(store)
    assert len(done) == 2
    assert log[1].snapshot in done[0]
    aside = {store / "refs" / "tag.round-0002" / "ref.json"}
    assert set(before) - set(files_of(store)) == aside
    assert len(list((store / "set-aside").rglob("ref.json"))) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened = AnnotationStore.open(store)
        with opened.begin_round(by_person("again")) as txn:
            assert txn.number == 2
    assert verify(store, deep=True).findings == ()
    assert repair(store) == []


@pytest.mark.parametrize("content", [b"", b'{"snapshot":"00000000000000000000"}', None])
def test_a_damaged_branch_is_found_again(store: Path, content: bytes | None) -> None:
    before, branch = everything(store), store / "refs" / "branch.main" / "ref.json"
    branch.unlink() if content is None else branch.write_bytes(content)
    if content:
        with pytest.warns(StoreWarning, match="hitl verify PROJECT --repair"):
            assert everything(store) == before
    else:
        with pytest.raises(DamagedStoreError, match="hitl verify PROJECT --repair"):
            AnnotationStore.open(store)
    assert [finding.file for finding in verify(store).findings]
    assert repair(store)
    assert everything(store) == before


def test_lost_checksums_are_made_anew(store: Path) -> None:
    before = everything(store)
    shutil.rmtree(store / "sums")
    with pytest.warns(StoreWarning, match="nothing shows that the newest commit is whole"):
        opened = AnnotationStore.open(store)
    with pytest.raises(DamagedStoreError, match="--repair"):
        opened.remove_field("a")
    assert len(verify(store).findings) == len(before["log"]) + 1
    assert repair(store)
    assert verify(store).findings == ()
    assert everything(store) == before


def test_damage_of_one_array_leaves_the_others_open(store: Path) -> None:
    opened = AnnotationStore.open(store)
    snapshot = newest_snapshot(store)
    kept, image_files = sums.Sums(store), chunk_files(store, "fields/b/0")
    shared = set(kept.manifests(snapshot)) - kept.own_manifests(snapshot)
    image = next(m for m in sorted(shared) if chunks_in(store, m) == image_files)
    (store / "manifests" / image).write_bytes(b"torn")
    with pytest.warns(StoreWarning, match=f"manifests/{image} is damaged"):
        opened = AnnotationStore.open(store)
    with pytest.raises(DamagedStoreError, match="fields/b/0 cannot be read"):
        opened.labels("b").image[...]
    assert np.array_equal(opened.labels("b").labels[...], boxes())
    with opened.begin_round(by_person()) as txn:
        txn.write_labels("a", np.s_[0:1, 0:1, 0:1], np.full((1, 1, 1), 3))
    (finding,) = verify(store).findings
    assert finding.holds == "fields/b/0"
    assert finding.rounds == (1, 2, 3)


def chunks_in(folder: Path, manifest: str) -> list[str]:
    read = read_manifest((folder / "manifests" / manifest).read_bytes())
    return [file_name(i) for array in read for i in array.sizes]


def test_an_earlier_commit_that_is_damaged_leaves_the_others_open(store: Path) -> None:
    log = AnnotationStore.open(store).log()
    (store / "snapshots" / log[1].snapshot).unlink()
    opened = AnnotationStore.open(store)
    assert opened.log() == log
    with pytest.raises(DamagedStoreError, match=f"snapshots/{log[1].snapshot} is gone"):
        opened.labels("a", round=1)
    with pytest.raises(DamagedStoreError, match="snapshots"):
        opened.collect_garbage()
    with opened.begin_round(by_person()) as txn:
        txn.write_verified("a", (slice(0, 6), slice(0, 40), slice(0, 30)))
    assert opened.labels("a").verified_voxels == 6 * 40 * 30


def test_garbage_is_not_collected_from_a_damaged_store(store: Path) -> None:
    opened = AnnotationStore.open(store)
    branch = store / "refs" / "tag.round-0000" / "ref.json"
    branch.write_bytes(b'{"snapshot":"00000000000000000000"}')
    with pytest.raises(DamagedStoreError, match="round-0000"):
        opened.collect_garbage()
    assert len(repair(store)) == 2
    opened.collect_garbage()


def test_collecting_takes_what_a_killed_writer_left(store: Path) -> None:
    before = newest(store)
    left = [
        store / "chunks" / "ABC#1",
        store / "snapshots" / "ABC#1",
        store / "refs" / "branch.main" / "ref.json#1",
        store / "refs" / "branch.main" / ".ref.json.abc",
        store / "sums" / "00000000000000000000",
        store / "sums" / ".00000000000000000000.abc",
        store.with_name(".store.0123abcd.new") / "chunks" / "ABC",
    ]
    left[-1].parent.mkdir(parents=True)
    for path in left:
        path.write_bytes(b"left")
    opened = AnnotationStore.open(store)
    counted = opened.collect_garbage(dry_run=True)
    assert counted.bytes == 4 * len(left)
    assert all(path.exists() for path in left)
    assert opened.collect_garbage().bytes == counted.bytes
    assert not any(path.exists() for path in left)
    assert not left[-1].parent.parent.exists()
    assert newest(store) == before


def test_object_storage_is_read_commit_by_commit() -> None:
    store = new_store("memory:verified")
    with store.begin_round(by_person()) as txn:
        txn.set_labels("a", boxes(), proposed([1, 2, 7]))
    found = verify("memory:verified", deep=True)
    assert (found.commits, found.findings, found.whole_rounds) == (4, (), (0,))
    assert found.chunks > 4
    with pytest.raises(StoreError, match="local folder"):
        repair("memory:verified")


def test_what_is_no_store_cannot_be_verified(tmp_path: Path) -> None:
    for act in (verify, repair):
        with pytest.raises(StoreError, match="annotation store"):
            act(tmp_path)
    icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "plain")))
    assert verify(tmp_path / "plain").findings


def test_numbers_are_told_in_short() -> None:
    assert spans((3, 0, 1, 2, 7, 9, 10)) == "0-3, 7, 9-10"
    assert spans(()) == ""
