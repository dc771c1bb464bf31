"""What an import makes of corrected labels, with and without the file beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from annotations.errors import AxesError, ConflictError
from annotations.fields import ClassInfo
from annotations.formats import (
    write_image_tiff,
    write_labels_tiff,
)
from annotations.formats.coded import encode
from annotations.objects import Status
from annotations.store import AnnotationStore
from hitl.cli.printing.labelling import imported
from hitl.labelling.add import add_field
from hitl.labelling.exchange.errors import ExchangeError, NothingChangedError
from hitl.labelling.requests import AddRequest
from hitl.project.config import ProjectConfig
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from tests.annotations.store_sources import ArraySource, by_model, proposed
from tests.hitl.labelling.exchange.tools import (
    SPACING_UM,
    balls,
    by_id,
    by_position,
    fetch,
    first_edit,
    save_tiff,
    second_edit,
    send,
    stored,
)


def test_the_same_file_lands_once(project: Project, tmp_path: Path) -> None:
    sent = send(project, tmp_path / "a", "tiff")
    save_tiff(Path(sent.labels), first_edit(stored(project)))
    fetch(project, sent.labels)
    with pytest.raises(NothingChangedError):
        fetch(project, sent.labels)
    assert len(project.store().rounds()) == 2


def test_a_person_who_looked_at_all_verifies_all(project: Project, tmp_path: Path) -> None:
    sent = send(project, tmp_path / "a", "tiff")
    done = fetch(project, sent.labels, verified="all")
    view = project.store().labels("cells")
    assert view.verified_voxels == np.prod(view.info.zyx) == done.verified_voxels
    assert done.counts.accepted == len(view.objects)
    assert set(view.objects.status.tolist()) == {Status.ACCEPTED}
    assert "accepted" in imported(done)[1]
    assert done.round == 1
    with pytest.raises(NothingChangedError):
        fetch(project, sent.labels, verified="all")


def test_two_people_on_different_objects_both_land(project: Project, tmp_path: Path) -> None:
    labels = stored(project)
    mine, theirs = (send(project, tmp_path / name, "tiff") for name in ("mine", "theirs"))
    a, *_, z = by_position(labels)
    save_tiff(Path(theirs.labels), np.where(labels == a, 0, labels))
    fetch(project, theirs.labels, annotator="bob")
    save_tiff(Path(mine.labels), np.where(labels == z, 0, labels))
    done = fetch(project, mine.labels)
    assert done.counts.deleted == 1
    assert done.base_round == 0
    assert by_id(stored(project)) == sorted(set(by_id(labels)) - {a, z})


def test_labels_from_before_the_first_round_are_merged_too(tmp_path: Path) -> None:
    image, labels = balls()
    write_image_tiff(tmp_path / "cells.tif", image, SPACING_UM)
    write_labels_tiff(tmp_path / "truth.tif", labels, SPACING_UM)
    project = Project.create(tmp_path / "project", ProjectConfig())
    request = AddRequest(images=(tmp_path / "cells.tif",), labels=((None, tmp_path / "truth.tif"),))
    add_field(project, request, Silent())
    sent = [send(project, tmp_path / name, "tiff") for name in ("a", "b", "c")]
    assert [s.round for s in sent] == [None] * 3
    save_tiff(Path(sent[0].labels), first_edit(labels))
    assert fetch(project, sent[0].labels).base_round is None
    save_tiff(Path(sent[1].labels), second_edit(labels))
    assert fetch(project, sent[1].labels).counts.split == 1
    assert np.array_equal(stored(project) > 0, second_edit(first_edit(labels)) > 0)
    save_tiff(Path(sent[2].labels), np.where(labels == by_position(labels)[0], 0, labels))
    with pytest.raises(ConflictError, match="export the labels as they are now"):
        fetch(project, sent[2].labels)
    assert len(project.store().rounds()) == 2


def test_without_a_sidecar_the_last_round_is_the_base_and_that_is_said(
    project: Project, tmp_path: Path
) -> None:
    write_labels_tiff(tmp_path / "mine.tif", first_edit(stored(project)), SPACING_UM)
    reporter = Silent()
    done = fetch(project, tmp_path / "mine.tif", reporter=reporter)
    assert done.base_round == 0
    assert "compared with round 0" in reporter.notes[0]


def test_a_tools_new_name_in_the_same_folder_is_recognised(
    project: Project, tmp_path: Path
) -> None:
    sent = send(project, tmp_path / "a", "tiff")
    labels = first_edit(stored(project))
    tifffile.imwrite(tmp_path / "a" / "saved by napari.tif", labels, metadata=None)
    reporter = Silent()
    done = fetch(project, tmp_path / "a" / "saved by napari.tif", reporter=reporter)
    assert done.counts.merged == 1
    assert reporter.notes == [reporter.notes[0]]
    assert "as exported" in reporter.notes[0]
    assert Path(sent.labels).is_file()


def test_axes_are_not_guessed(project: Project, tmp_path: Path) -> None:
    labels = first_edit(stored(project))
    np.save(tmp_path / "a.npy", labels)
    reporter = Silent()
    assert fetch(project, tmp_path / "a.npy", reporter=reporter).counts.merged == 1
    assert any("only order that fits" in note for note in reporter.notes)
    image = np.random.default_rng(0).integers(0, 99, (4, 20, 20)).astype(np.uint16)
    write_image_tiff(tmp_path / "square.tif", image, SPACING_UM)
    square = np.zeros(image.shape, np.uint16)
    square[1:3, 2:9, 3:7] = 1
    add_field(project, AddRequest(images=(tmp_path / "square.tif",)), Silent())
    np.save(tmp_path / "square.npy", square)
    with pytest.raises(AxesError, match="--axes"):
        fetch(project, tmp_path / "square.npy", field="square")
    fetch(project, tmp_path / "square.npy", field="square", axes="ZXY")
    found = AnnotationStore.open(project.folder / "store", read_only=True).labels("square").labels
    assert np.array_equal(np.asarray(found[...]), square.transpose(0, 2, 1))


def test_coded_labels_of_other_makers(project: Project, tmp_path: Path) -> None:
    coded = encode(first_edit(stored(project)))
    write_labels_tiff(tmp_path / "coded.tif", coded, SPACING_UM)
    assert fetch(project, tmp_path / "coded.tif", coded=True).counts.merged == 1


def test_of_an_area_only_the_places_that_were_changed_are_verified(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project", ProjectConfig())
    area = np.zeros((6, 40, 60), np.uint32)
    area[1:5, 8:32, 8:50] = 1
    image = np.random.default_rng(0).integers(0, 99, area.shape).astype(np.uint16)
    store = project.store(read_only=False)
    bone = (ClassInfo(name="bone", kind="area"),)
    store.add_field("cells", ArraySource(image[None]), classes=bone)
    with store.begin_round(by_model()) as round_:
        round_.set_labels("cells", area, proposed([1]))
    changed = area.copy()
    changed[2:4, 10:12, 46:50] = 0
    # Other tools give what is painted anew a number of its own.
    changed[2:4, 32:34, 20:24] = 7
    write_labels_tiff(tmp_path / "bone.tif", changed, SPACING_UM)
    done = fetch(project, tmp_path / "bone.tif")
    view = project.store().labels("cells")
    np.testing.assert_array_equal(view.labels[...], np.minimum(changed, 1))
    assert (done.counts.reshaped, len(view.objects)) == (1, 1)
    verified = view.verified[...].astype(bool)
    assert verified[np.minimum(changed, 1) != area].all()
    assert not verified[:, 16:28].any(), "nobody looked at the middle of the bone"
    assert not verified[..., 30:42].any()
    fetch(project, tmp_path / "bone.tif", verified="all")
    assert project.store().labels("cells").verified_voxels == area.size


def test_what_no_correction_looks_like_is_asked_about(project: Project, tmp_path: Path) -> None:
    labels = stored(project)
    image = np.asarray(project.store().labels("cells").image[0], np.uint32)
    kept = np.where(labels == by_position(labels)[0], labels, 0)
    strange = {
        "intensities of the image": image,
        "all 8 objects would be deleted": np.zeros_like(labels),
        "one object where there are 8, as a mask": (labels > 0).astype(np.uint32),
        "delete 7 of 8 objects and add 0": kept,
        r"moved by 0, 0, \+9 voxels in z, y, x": np.roll(labels, 9, axis=2),
    }
    before = project.store().head()
    for number, (said, junk) in enumerate(strange.items()):
        file = tmp_path / f"{number}.tif"
        write_labels_tiff(file, junk, SPACING_UM)
        with pytest.raises(ExchangeError, match=said) as error:
            fetch(project, file)
        assert "say --yes if you mean it" in str(error.value)
        assert project.store().head() == before
    assert fetch(project, tmp_path / "1.tif", yes=True).counts.deleted == 8


def test_of_few_objects_all_may_be_wrong(project: Project, tmp_path: Path) -> None:
    few = np.where(np.isin(stored(project), by_position(stored(project))[:3]), stored(project), 0)
    write_labels_tiff(tmp_path / "few.tif", few, SPACING_UM)
    fetch(project, tmp_path / "few.tif", yes=True)
    write_labels_tiff(tmp_path / "none.tif", np.zeros_like(few), SPACING_UM)
    assert fetch(project, tmp_path / "none.tif").counts.deleted == 3


def test_a_dry_run_says_the_same_and_writes_nothing(project: Project, tmp_path: Path) -> None:
    sent = send(project, tmp_path / "a", "tiff")
    save_tiff(Path(sent.labels), first_edit(stored(project)))
    beside = Path(f"{sent.labels}.hitl.json").read_bytes()
    before = project.store().head()
    told = fetch(project, sent.labels, dry_run=True)
    assert imported(told)[1].startswith("would be round 1 of cells: 1 deleted")
    assert project.store().head() == before
    assert Path(f"{sent.labels}.hitl.json").read_bytes() == beside
    done = fetch(project, sent.labels)
    assert (done.round, done.counts) == (told.round, told.counts)
