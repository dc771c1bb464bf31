"""Which voxels edits, verdicts and checked regions verify."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotations.edits.compare import compare_labels
from annotations.edits.records import Edits
from annotations.edits.sources import StableLabels
from annotations.edits.verified import changed_voxels, shell_voxels, verified_mask_update
from annotations.errors import LabelError
from annotations.merging import merge_edits
from annotations.objects import ObjectTable, Status
from annotations.planes import Planes
from tests.annotations.edits.edit_scripts import Script, scripts
from tests.annotations.store_sources import planes_of

SHELL = (1, 2, 2)


def mask_of(patches: object, shape: tuple) -> np.ndarray:
    out = np.zeros(shape, bool)
    for region, mask in patches:  # type: ignore[attr-defined]
        out[region] |= mask > 0
    return out


def reference(before: np.ndarray, after: np.ndarray, edits: Edits, accepted: set) -> np.ndarray:
    """The rule, said in whole images."""
    kept = np.isin(after, [i for c in edits.changes for i in c.after] + sorted(accepted))
    gone = np.isin(before, [i for c in edits.changes for i in c.before])
    near = np.zeros(after.shape, bool)
    for z, y, x in np.argwhere(kept):
        for p, q, r in product(*(range(-s, s + 1) for s in SHELL)):
            at = (z + p, y + q, x + r)
            inside = all(0 <= i < n for i, n in zip(at, after.shape, strict=True))
            if inside and sum((o / s) ** 2 for o, s in zip((p, q, r), SHELL, strict=True)) <= 1:
                near[at] = True
    return kept | ((after == 0) & (near | gone))


@settings(max_examples=25, deadline=None)
@given(scripts(), st.data())
def test_patches_are_the_rule(script: Script, data: st.DataObject) -> None:
    edits = compare_labels(script.before, script.after)
    ids = edits.after.ids.tolist()
    accepted = set(data.draw(st.lists(st.sampled_from(ids), unique=True))) if ids else set()
    expected = reference(script.before, script.after, edits, accepted)
    patches = verified_mask_update(script.before, script.after, edits, accepted, shell=SHELL)
    assert np.array_equal(mask_of(patches, script.before.shape), expected)


def test_a_shell_is_background_and_stops_at_other_objects() -> None:
    labels = np.zeros((3, 5, 9), np.uint32)
    labels[1, 1:4, 2:4], labels[1, 1:4, 5:7] = 1, 2
    edits = compare_labels(labels, labels)
    found = mask_of(verified_mask_update(labels, labels, edits, [1], shell=SHELL), labels.shape)
    assert found[1, 2].tolist() == [True] * 5 + [False] * 4
    assert found[0, 2].tolist() == [False, False, True, True] + [False] * 5
    assert not found[labels == 2].any()
    alone = mask_of(verified_mask_update(labels, labels, edits, [1], shell=(0, 0, 0)), labels.shape)
    assert np.array_equal(alone, labels == 1)


def test_a_deleted_object_leaves_verified_background() -> None:
    before = np.zeros((3, 4, 8), np.uint32)
    before[1, 1:3, 1:3], before[1, 1:3, 5:7] = 4, 5
    after = np.where(before == 4, 0, before)
    edits = compare_labels(before, after)
    found = mask_of(verified_mask_update(before, after, edits, shell=SHELL), before.shape)
    assert np.array_equal(found, before == 4)


def test_a_checked_region_is_verified_with_its_background_and_nothing_beyond() -> None:
    labels = np.zeros((4, 6, 8), np.uint32)
    labels[1:3, 1:3, 1:3], labels[1:3, 4:6, 5:8] = 1, 2
    edits = compare_labels(labels, labels)
    region = (slice(1, 3), slice(None), slice(0, 6))
    patches = list(verified_mask_update(labels, labels, edits, shell=SHELL, checked=[region]))
    expected = np.zeros(labels.shape, bool)
    expected[region] = True
    assert np.array_equal(mask_of(patches, labels.shape), expected)
    # What lies in it with its shell needs no patch of its own.
    everywhere = (slice(None), slice(None), slice(None))
    patches = list(
        verified_mask_update(labels, labels, edits, [1, 2], shell=SHELL, checked=[everywhere])
    )
    assert [p.mask.all() for p in patches] == [True]


def test_a_shell_stays_in_the_time_point_of_its_object() -> None:
    depth, labels = 2, np.zeros((6, 7, 9), np.uint32)
    # The last slice of one time point, and an object that goes on under its id in the next.
    labels[1, 3, 4] = 1
    labels[3:5, 1, 1] = 2
    edits = compare_labels(np.zeros_like(labels), labels)
    patches = verified_mask_update(np.zeros_like(labels), labels, edits, shell=SHELL, depth=depth)
    found = mask_of(patches, labels.shape)
    for time in range(3):
        part = labels[time * depth : (time + 1) * depth]
        alone = compare_labels(np.zeros_like(part), part)
        expected = reference(np.zeros_like(part), part, alone, set())
        assert np.array_equal(found[time * depth : (time + 1) * depth], expected)
    assert not found[2, 3, 4], "the slice after the first time point's last one"


def test_chunks_in_a_store_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    before = np.zeros((6, 20, 20), np.uint32)
    for i in range(1, 20):
        z, y, x = (int(rng.integers(0, n - 3)) for n in before.shape)
        before[z : z + 3, y : y + 3, x : x + 3] = i
    after = before.copy()
    after[:, :, 7:9] = 0
    edits = compare_labels(before, after)
    accepted = list(edits.unchanged)
    expected = mask_of(
        verified_mask_update(before, after, edits, accepted, shell=SHELL), before.shape
    )
    monkeypatch.setattr("annotations.edits._reading.CACHE_BYTES", 5 * 4 * 3 * 4 * 5)
    arrays = [planes_of(labels, (3, 4, 5)) for labels in (before, after)]
    patches = verified_mask_update(*arrays, edits, accepted, shell=SHELL)
    assert np.array_equal(mask_of(patches, before.shape), expected)


def test_patches_of_scattered_objects_are_no_more_than_the_field() -> None:
    """Each object's box is about the whole field: reading it for each would never end."""
    rng = np.random.default_rng(1)
    before = rng.integers(0, 400, (20, 140, 150)).astype(np.uint32)
    after = rng.integers(0, 400, before.shape).astype(np.uint32)
    edits = compare_labels(before, after)
    patches = list(verified_mask_update(before, after, edits, shell=SHELL))
    assert sum(patch.mask.size for patch in patches) <= before.size
    assert mask_of(patches, before.shape).all(), "in a shell, or of an object"


def test_the_shell_is_as_thick_in_micrometres_as_voxels_allow() -> None:
    assert shell_voxels((1.0, 1.0, 1.0)) == (2, 2, 2)
    assert shell_voxels((2.0, 0.2, 0.2)) == (1, 2, 2)
    assert shell_voxels((0.6, 0.4, 0.2)) == (1, 1, 2)
    assert shell_voxels((1.0, 1.0, 0.5), thickness=4) == (2, 2, 4)
    with pytest.raises(LabelError, match="positive"):
        shell_voxels((1.0, 0.0, 1.0))


def test_what_does_not_fit_the_labels_is_refused() -> None:
    labels = np.ones((2, 3, 4), np.uint32)
    edits = compare_labels(labels, labels)
    region = (slice(0, 3), slice(0, 1), slice(0, 1))
    with pytest.raises(LabelError, match=r"\[7\]"):
        list(verified_mask_update(labels, labels, edits, [7], shell=SHELL))
    with pytest.raises(LabelError, match="inside the field"):
        list(verified_mask_update(labels, labels, edits, shell=SHELL, checked=[region]))
    with pytest.raises(LabelError, match="0 or more"):
        list(verified_mask_update(labels, labels, edits, shell=(-1, 1, 1)))
    with pytest.raises(LabelError, match="were compared"):
        list(verified_mask_update(labels[1:], labels[1:], edits, shell=SHELL))


@pytest.mark.parametrize("kind", ["stable", "merged"])
def test_each_chunk_is_read_once_for_many_objects(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = np.zeros((4, 40, 40), np.uint32)
    before[1:3, ::2, ::2] = np.arange(1, 401).reshape(20, 20)
    after = before.copy()
    after[2] = 0
    base = planes_of(before, (2, 20, 20))
    theirs = base if kind == "stable" else planes_of(before, (2, 20, 20))
    table = ObjectTable.make(np.arange(1, 401), status=Status.PROPOSED, origin="import", round=0)
    merged = merge_edits(base, after, theirs, objects=table)
    assert isinstance(merged.labels, StableLabels) == (kind == "stable")
    expected = reference(before, after, merged.edits, set())
    reads = []
    ask = Planes.__getitem__
    monkeypatch.setattr(
        Planes, "__getitem__", lambda self, key: (reads.append(key), ask(self, key))[1]
    )
    patches = verified_mask_update(theirs, merged.labels, merged.edits, shell=SHELL)
    assert np.array_equal(mask_of(patches, before.shape), expected)
    assert len(reads) <= 3 * 8, "eight chunks of theirs, and of what merged labels are made of"


@settings(max_examples=25, deadline=None)
@given(scripts(), st.sampled_from([1, 2]))
def test_of_an_area_what_changed_is_verified_and_not_all_of_it(script: Script, times: int) -> None:
    before, after = (np.minimum(part, 1) for part in (script.before, script.after))
    depth = len(before)
    before, after = (np.concatenate([part] * times) for part in (before, after))
    expected = np.zeros(before.shape, bool)
    for at in np.argwhere(before != after):
        for offset in product(*(range(-s, s + 1) for s in SHELL)):
            there = tuple((at + offset).tolist())
            inside = all(0 <= i < n for i, n in zip(there, before.shape, strict=True))
            same_time = inside and there[0] // depth == at[0] // depth
            if same_time and sum((o / s) ** 2 for o, s in zip(offset, SHELL, strict=True)) <= 1:
                expected[there] = True
    patches = list(changed_voxels(before, after, shell=SHELL, depth=depth))
    assert np.array_equal(mask_of(patches, before.shape), expected)
    planes = changed_voxels(planes_of(before, (3, 4, 5)), after, shell=SHELL, depth=depth)
    assert np.array_equal(mask_of(planes, before.shape), expected)
