"""Imports that are refused: no round is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from annotations.errors import ConflictError, FormatError, LabelError
from annotations.formats import (
    write_image_tiff,
)
from hitl.labelling.add import add_field
from hitl.labelling.exchange.errors import ExchangeError, NothingChangedError
from hitl.labelling.exchange.sidecar import sidecar_path
from hitl.labelling.requests import AddRequest
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from tests.hitl.labelling.exchange.tools import (
    FORMATS,
    LOAD,
    SAVE,
    SPACING_UM,
    Labels,
    balls,
    by_position,
    fetch,
    first_edit,
    new_project,
    save_rois,
    save_tiff,
    send,
    stored,
)


def test_untouched_labels_make_no_round(project: Project, tmp_path: Path) -> None:
    for fmt in FORMATS:
        sent = send(project, tmp_path / fmt, fmt)
        with pytest.raises(NothingChangedError, match="no round was made"):
            fetch(project, sent.labels)
    assert len(project.store().rounds()) == 1


@pytest.mark.parametrize("fmt", FORMATS)
def test_older_labels_that_meet_other_edits_are_a_conflict(
    fmt: str, project: Project, tmp_path: Path
) -> None:
    labels = stored(project)
    mine = send(project, tmp_path / "mine", fmt)
    theirs = send(project, tmp_path / "theirs", "tiff")
    save_tiff(Path(theirs.labels), first_edit(labels))
    fetch(project, theirs.labels, annotator="bob")
    now = stored(project)
    a = by_position(LOAD[fmt](Path(mine.labels), labels.shape))[0]
    edited = LOAD[fmt](Path(mine.labels), labels.shape)
    edited[edited == a] = 0
    SAVE[fmt](Path(mine.labels), edited)
    with pytest.raises(ConflictError, match="nothing was written"):
        fetch(project, mine.labels)
    assert np.array_equal(stored(project), now)
    assert len(project.store().rounds()) == 2


def wrong_shape(fmt: str, file: Path, labels: Labels) -> None:
    """Save labels that lack the last slice, or a column."""
    if fmt == "ome-zarr":
        group = zarr.open_group(file / "labels" / "objects", mode="r+")
        group.create_array("0", data=labels[:-1], overwrite=True)
    else:
        SAVE[fmt](file, labels[:-1])


@pytest.mark.parametrize("fmt", [f for f in FORMATS if f != "rois"])
def test_labels_of_another_shape(fmt: str, project: Project, tmp_path: Path) -> None:
    sent = send(project, tmp_path / "a", fmt)
    wrong_shape(fmt, Path(sent.labels), stored(project))
    with pytest.raises(LabelError, match=r"\(14, 48, 88\), got \(13, 48, 88\)"):
        fetch(project, sent.labels)
    assert len(project.store().rounds()) == 1


@pytest.mark.parametrize("where", ["slice", "pixel"])
def test_a_roi_outside_the_image(where: str, project: Project, tmp_path: Path) -> None:
    sent = send(project, tmp_path / "a", "rois")
    pads = ((0, 1), (0, 0), (0, 0)) if where == "slice" else ((0, 0), (0, 0), (0, 1))
    larger = np.pad(stored(project), pads)
    larger[-1, -1, -1] = 1
    save_rois(Path(sent.labels), larger)
    with pytest.raises(LabelError, match="outside the"):
        fetch(project, sent.labels)
    assert len(project.store().rounds()) == 1


@pytest.mark.parametrize("fmt", FORMATS)
def test_labels_of_another_field(fmt: str, project: Project, tmp_path: Path) -> None:
    write_image_tiff(tmp_path / "others.tif", balls(seed=1)[0], SPACING_UM)
    add_field(project, AddRequest(images=(tmp_path / "others.tif",)), Silent())
    sent = send(project, tmp_path / "a", fmt)
    with pytest.raises(LabelError, match="those of 'cells'"):
        fetch(project, sent.labels, field="others")
    assert len(project.store().rounds()) == 1


def test_labels_of_another_image_or_project_of_the_same_name(
    project: Project, tmp_path: Path
) -> None:
    for name, seed in (("image", 1), ("project", 0)):
        folder = tmp_path / f"other_{name}"
        folder.mkdir()
        other = new_project(folder, balls(seed=seed)[0], SPACING_UM)
        sent = send(other, folder / "out", "tiff")
        with pytest.raises(LabelError, match=f"another {name}|of another, 'project'"):
            fetch(project, sent.labels)
    assert len(project.store().rounds()) == 1


def test_a_float_image_is_no_labels(project: Project, tmp_path: Path) -> None:
    image = balls()[0].astype(np.float32)
    write_image_tiff(tmp_path / "a.tif", image, SPACING_UM)
    np.save(tmp_path / "a.npy", image)
    np.save(tmp_path / "a_seg.npy", np.array({"masks": image}, object), allow_pickle=True)
    sent = send(project, tmp_path / "z", "ome-zarr")
    group = zarr.open_group(Path(sent.labels) / "labels" / "objects", mode="r+")
    group.create_array("0", data=image, overwrite=True)
    for file in ("a.tif", "a.npy", "a_seg.npy", "z/cells.ome.zarr"):
        with pytest.raises(LabelError, match="expected integer labels"):
            fetch(project, tmp_path / file, axes="ZYX")
    assert len(project.store().rounds()) == 1


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.mkdir, (self.marker,)


def test_a_pickle_with_code_changes_nothing(project: Project, tmp_path: Path) -> None:
    sent = send(project, tmp_path / "a", "cellpose")
    state = np.load(sent.labels, allow_pickle=True).item()
    state["flows"] = [Evil(tmp_path / "ran")]
    state["masks"] = first_edit(state["masks"])
    np.save(sent.labels, np.array(state, object), allow_pickle=True)
    with pytest.raises(FormatError, match="nothing of it was run"):
        fetch(project, sent.labels)
    assert not (tmp_path / "ran").exists()
    assert len(project.store().rounds()) == 1


def test_files_that_are_not_there_or_of_no_format(project: Project, tmp_path: Path) -> None:
    for name in ("gone.tif", "gone_seg.npy", "gone.zip", "gone.zarr"):
        with pytest.raises(FormatError, match="no such file"):
            fetch(project, tmp_path / name)
    (tmp_path / "a.png").write_text("png")
    with pytest.raises(FormatError, match="cannot be read"):
        fetch(project, tmp_path / "a.png")
    sent = send(project, tmp_path / "a", "tiff")
    sidecar_path(Path(sent.labels)).write_text("{}")
    with pytest.raises(ExchangeError, match="hitl export"):
        fetch(project, sent.labels)
    with pytest.raises(ExchangeError, match="all or changed"):
        fetch(project, sent.labels, verified="some")
