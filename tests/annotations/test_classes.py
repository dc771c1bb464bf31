"""Several classes of one field: their addresses, and what each keeps for itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from annotations.differences import diff_rounds
from annotations.errors import LabelError, UnknownFieldError
from annotations.fields import ClassInfo
from annotations.history import blame, provenance_steps, roll_back
from annotations.objects import ObjectTable, Status
from annotations.rounds import EditCounts
from annotations.store import AnnotationStore
from tests.annotations.store_sources import (
    SPACING_UM,
    ArraySource,
    bootstrapped,
    boxes,
    by_model,
    by_person,
    noise,
    proposed,
)

FUCCI = (
    ClassInfo(name="cy3", seen=(0,)),
    ClassInfo(name="gfp", seen=(1,)),
    ClassInfo(name="hoechst", seen=(2, 0)),
)
IMAGE = noise((3, 20, 40, 30))


@pytest.fixture
def store(tmp_path: Path) -> AnnotationStore:
    """A field of three classes, and one of one class."""
    store = AnnotationStore.create(tmp_path / "store")
    store.add_field("f", ArraySource(IMAGE), classes=FUCCI)
    store.add_field("g", ArraySource(noise(seed=1)))
    return store


def test_labels_have_the_shortest_address_that_is_unique(store: AnnotationStore) -> None:
    found = store.all_labels()
    assert [info.address for info in found] == ["f:cy3", "f:gfp", "f:hoechst", "g"]
    assert [info.key for info in found] == ["f:cy3", "f:gfp", "f:hoechst", "g:nuclei"]
    assert [info.file_name for info in found] == ["f~cy3", "f~gfp", "f~hoechst", "g"]
    assert [view.info for view in store.views()] == found
    assert [info.name for info in store.fields()] == ["f", "g"]
    assert store.labels("g").info == store.labels("g:nuclei").info
    assert store.fields()[0].classes == FUCCI


def test_a_field_of_several_classes_is_no_address(store: AnnotationStore) -> None:
    with pytest.raises(UnknownFieldError, match="one of f:cy3, f:gfp, f:hoechst"):
        store.labels("f")
    with pytest.raises(UnknownFieldError, match=r"'f:hoest'.*did you mean 'hoechst'"):
        store.labels("f:hoest")
    with pytest.raises(UnknownFieldError, match=r"classes of field g \(nuclei\)"):
        store.labels("g:golgi")
    with pytest.raises(UnknownFieldError, match=r"field 'h'.*\(f, g\)"):
        store.labels("h:nuclei")
    for wrong in ("f:", ":cy3", "f:cy3:gfp", "f/labels:cy3", "f:../cy3"):
        with pytest.raises(UnknownFieldError):
            store.labels(wrong)
    for write in ("f", "f:golgi"):
        with pytest.raises(UnknownFieldError), store.begin_round(by_person()) as txn:
            txn.set_objects(write, proposed([1]))
        with pytest.raises(UnknownFieldError):
            blame(store, write, 1)


@pytest.mark.parametrize("name", ["", "a/b", "..", "é", "a:b"])
def test_class_names_are_checked_as_names_of_fields_are(tmp_path: Path, name: str) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    with pytest.raises(UnknownFieldError, match="--class"):
        store.add_field("f", ArraySource(noise()), classes=[ClassInfo(name=name)])
    assert store.fields() == []


def test_a_model_sees_the_channels_of_its_class(store: AnnotationStore) -> None:
    for info in FUCCI:
        view = store.labels(f"f:{info.name}")
        assert view.info.seen == info.seen
        assert np.array_equal(view.read_image(), IMAGE[list(info.seen)])
        assert np.array_equal(view.image[...], IMAGE)
        assert view.info.spacing_um == SPACING_UM


def test_each_class_has_its_own_labels_objects_and_rounds(store: AnnotationStore) -> None:
    with store.begin_round(by_model()) as txn:
        txn.set_labels("f:cy3", boxes(), proposed([1, 2, 7]))
        txn.set_labels("f:gfp", boxes() * 2, proposed([2, 4, 14]))
    with store.begin_round(by_person()) as txn:
        txn.write_verified("f:gfp", np.s_[0:1, 0:2, 0:3])
        rows = ObjectTable.make([4], status=Status.ACCEPTED, origin="person:anna", round=1)
        txn.set_objects("f:gfp", txn.labels("f:gfp").objects.updated(rows))
    cy3, gfp, hoechst = (store.labels(f"f:{info.name}") for info in FUCCI)
    assert np.array_equal(cy3.labels[...], boxes())
    assert np.array_equal(gfp.labels[...], boxes() * 2)
    assert not hoechst.labels[...].any()
    assert [view.verified_voxels for view in (cy3, gfp, hoechst)] == [0, 6, 0]
    assert [view.objects.id.tolist() for view in (cy3, gfp, hoechst)] == [[1, 2, 7], [2, 4, 14], []]
    assert [view.counts["accepted"] for view in (cy3, gfp, hoechst)] == [0, 1, 0]
    first, second = store.rounds()
    assert (first.labels, second.labels) == (("f:cy3", "f:gfp"), ("f:gfp",))
    assert first.counts == dict.fromkeys(("f:cy3", "f:gfp"), EditCounts(added=3))
    assert second.counts == {"f:gfp": EditCounts(accepted=1)}
    (found,) = diff_rounds(store, 0, 1).fields
    assert (found.field, [change.kind for change in found.changes]) == ("f:gfp", ["verdict"])
    assert [entry.entry.round for entry in blame(store, "f:cy3", 2)] == [0]
    assert [entry.entry.round for entry in blame(store, "f:gfp", 4)] == [0, 1]
    with pytest.raises(LabelError, match="got 2"):
        blame(store, "f:hoechst", 2)
    steps = provenance_steps(store, "f:hoechst")["provenance:steps"]
    assert [step["name"] for step in steps] == ["add"]
    assert len(provenance_steps(store, "f:gfp")["provenance:steps"]) == 3


def test_a_rollback_takes_every_class_back(store: AnnotationStore) -> None:
    for number, name in enumerate(["f:cy3", "f:gfp", "g"]):
        with store.begin_round(by_model()) as txn:
            txn.set_labels(name, boxes(), proposed([1, 2, 7], number))
    done = roll_back(store, 0, author="ben")
    assert [change.field for change in done.fields] == ["f:gfp", "g"]
    assert (done.left_alone, done.gone) == ((), ())
    assert np.array_equal(store.labels("f:cy3").labels[...], boxes())
    assert not store.labels("f:gfp").labels[...].any()
    assert not store.labels("g").labels[...].any()
    assert store.rounds()[-1].labels == ("f:gfp", "g:nuclei")


def test_a_class_without_labels_is_not_verified_by_those_of_another(tmp_path: Path) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    store.add_field("f", ArraySource(IMAGE), classes=FUCCI, labels={"gfp": boxes()})
    assert store.labels("f:gfp").verified[...].all()
    assert not store.labels("f:cy3").verified[...].any()
    (entry,) = [entry for entry in store.log() if entry.kind == "add"]
    assert entry.labels == ("f:cy3", "f:gfp", "f:hoechst")
    with pytest.raises(LabelError, match="h:cy3: expected labels of the image's shape"):
        store.add_field("h", ArraySource(IMAGE), classes=FUCCI, labels={"cy3": boxes()[:3]})


def test_a_projection_has_labels_of_one_slice(tmp_path: Path) -> None:
    classes = (
        ClassInfo(name="flat", seen=(1,), kind="area", projection="max"),
        ClassInfo(name="mean", seen=(2, 0), projection="mean"),
        ClassInfo(name="nuclei"),
    )
    store = AnnotationStore.create(tmp_path / "store")
    labels = {"flat": boxes()[15:16]}
    store.add_field("f", ArraySource(IMAGE), classes=classes, labels=labels)
    flat, mean, nuclei = store.views()
    assert (flat.info.zyx, mean.info.zyx, nuclei.info.zyx) == (
        (1, 40, 30),
        (1, 40, 30),
        (20, 40, 30),
    )
    assert flat.info.spacing_um == (20 * 2.0, 0.5, 0.4)
    assert flat.info.label_class == classes[0]
    assert flat.labels.shape == flat.verified.shape == (1, 40, 30)
    assert np.array_equal(flat.labels[...], labels["flat"])
    assert flat.verified_voxels == flat.info.voxels == 40 * 30
    assert np.array_equal(flat.read_image(), IMAGE[1:2].max(axis=1, keepdims=True))
    expected = np.rint(IMAGE[[2, 0]].mean(axis=1, keepdims=True))
    assert np.array_equal(mean.read_image(), expected)
    assert np.array_equal(flat.image[1, 0, 3:9], IMAGE[1].max(axis=0)[3:9])
    with store.begin_round(by_model()) as txn:
        txn.set_labels("f:mean", boxes()[3:4], proposed([1, 2]))
    assert np.array_equal(store.labels("f:mean").labels[...], boxes()[3:4])
    with pytest.raises(LabelError, match=r"\(1, 40, 30\)"), store.begin_round(by_model()) as txn:
        txn.set_labels("f:mean", boxes(), proposed([1, 2, 7]))


def test_a_removed_field_can_be_blamed_until_its_name_is_taken(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    store.add_field("f", ArraySource(IMAGE), classes=FUCCI, labels={"gfp": boxes()})
    store.remove_field("f")
    last = blame(store, "f:gfp", 7)[-1]
    assert (last.what, last.entry.kind, last.lost) == (("deleted",), "remove", 4 * 10 * 10)
    for address in ("f", "f:golgi", "h:gfp"):
        with pytest.raises(UnknownFieldError):
            blame(store, address, 7)
    store.add_field("f", ArraySource(IMAGE), classes=FUCCI)
    with pytest.raises(UnknownFieldError, match="one of f:cy3"):
        blame(store, "f", 7)
    with pytest.raises(LabelError, match="got 7"):
        blame(store, "f:gfp", 7)


def test_a_field_costs_as_many_nodes_whatever_is_there(tmp_path: Path) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    nodes = []
    for number in range(4):
        store.add_field(f"f{number}", ArraySource(noise((3, 2, 6, 5), seed=number)), classes=FUCCI)
        root = store._root(None)
        nodes.append(len(root.members(max_depth=None)))
    assert len(set(np.diff(nodes))) == 1
    # The field, its image and labels; of each class the group, ids, verified and objects.
    # Edits come with a class's first round.
    assert nodes[1] - nodes[0] == 3 + 3 * 4
