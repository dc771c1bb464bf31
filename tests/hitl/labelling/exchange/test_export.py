"""What an export writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from annotations.formats import (
    open_image,
    read_labels,
    write_image_tiff,
    write_labels_tiff,
)
from annotations.rounds import RoundInfo
from hitl.cli.printing.labelling import exported
from hitl.labelling.add import add_field
from hitl.labelling.exchange.errors import ExchangeError
from hitl.labelling.exchange.sidecar import Sidecar, sidecar_path
from hitl.labelling.exchange.writing import new_folder_files
from hitl.labelling.requests import AddRequest
from hitl.project.config import parse_config
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from tests.hitl.labelling.exchange.tools import (
    FORMATS,
    LOAD,
    SPACING_UM,
    balls,
    by_id,
    fetch,
    first_edit,
    save_tiff,
    send,
    stored,
)


@pytest.mark.parametrize("fmt", FORMATS)
def test_an_export_has_the_labels_the_image_and_where_they_come_from(
    fmt: str, project: Project, tmp_path: Path
) -> None:
    sent = send(project, tmp_path / "out", fmt)
    labels = stored(project)
    found = LOAD[fmt](Path(sent.labels), labels.shape)
    if fmt == "cellpose":
        labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    assert np.array_equal(found, labels)
    with open_image(sent.files[0]) as image:
        seen = project.store().labels("cells").read_image()
        assert np.array_equal(image.read(0, 0, 14), seen)
        assert image.info.spacing_um == pytest.approx(SPACING_UM)
    sidecar = Sidecar.read(sidecar_path(Path(sent.labels)))
    assert (sidecar.field, sidecar.round, sidecar.format) == ("cells", 0, fmt)
    assert sidecar.snapshot == project.store().round_snapshot(0)
    assert list(sidecar.ids) == by_id(stored(project))
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        *(Path(file).name for file in sent.files),
        sidecar_path(Path(sent.labels)).name,
    }
    assert sent.labels in exported(sent)[1]


@pytest.mark.parametrize("bits", [16, 32])
def test_label_tiffs_state_axes_and_voxel_size(bits: int, project: Project, tmp_path: Path) -> None:
    if bits == 32:
        commit_other_id(project, 70_000)
    sent = send(project, tmp_path / "out", "labkit")
    with tifffile.TiffFile(sent.labels) as tif:
        assert tif.series[0].axes == "ZYX"
        assert tif.series[0].dtype == np.dtype(f"u{bits // 8}")
        assert tif.is_imagej == (bits == 16)
        if bits == 16:
            assert tif.imagej_metadata["spacing"] == 2.0
            assert tif.imagej_metadata["unit"] in ("um", "micron")


def commit_other_id(project: Project, renumbered: int) -> None:
    """A round of somebody else's, in which the last object has another id."""
    store = project.store(read_only=False)
    with store.begin_round(RoundInfo(kind="correct", message="other ids", author="bob")) as round_:
        view = round_.labels("cells")
        labels = np.asarray(view.labels[...])
        last = by_id(labels)[-1]
        columns = view.objects.to_arrays()
        columns["id"] = np.where(columns["id"] == last, renumbered, columns["id"])
        labels[labels == last] = renumbered
        round_.set_labels("cells", labels, type(view.objects).from_arrays(columns))


def test_nothing_is_overwritten_and_nothing_is_half_written(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "cells_rois.zip").write_text("mine")
    with pytest.raises(ExchangeError, match=r"holds cells_rois\.zip already"):
        send(project, out, "rois")
    assert [p.read_text() for p in out.iterdir()] == ["mine"]

    def full(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("annotations.formats.roi_sets.write_rois", full)
    with pytest.raises(ExchangeError, match="No space left"):
        send(project, tmp_path / "new", "rois")
    assert not (tmp_path / "new").exists()
    for name in ("labels.tif", "set.zip"):
        with pytest.raises(ExchangeError, match="expected a folder"):
            send(project, tmp_path / name, "rois")
    with pytest.raises(ExchangeError, match="expected one of tiff"):
        send(project, out, "jpeg")


def test_a_round_of_the_past_can_be_exported(project: Project, tmp_path: Path) -> None:
    before = stored(project)
    sent = send(project, tmp_path / "a", "tiff")
    save_tiff(Path(sent.labels), first_edit(before))
    fetch(project, sent.labels)
    old = send(project, tmp_path / "b", "tiff", round=0)
    assert np.array_equal(read_labels(old.labels), before)
    assert Sidecar.read(sidecar_path(Path(old.labels))).round == 0


def test_another_channel_is_exported_as_the_field_says(tmp_path: Path) -> None:
    image, labels = balls()
    two = np.stack([np.flip(image), image])
    write_image_tiff(tmp_path / "two.tif", two, SPACING_UM)
    write_labels_tiff(tmp_path / "truth.tif", labels, SPACING_UM)
    project = Project.create(tmp_path / "project", parse_config({}))
    request = AddRequest(
        images=(tmp_path / "two.tif",),
        labels=((None, tmp_path / "truth.tif"),),
        channel="1",
        field="cells",
    )
    add_field(project, request, Silent())
    with open_image(send(project, tmp_path / "a", "tiff").files[0]) as source:
        assert np.array_equal(source.read(0, 0, 14)[0], image)
    with open_image(send(project, tmp_path / "b", "ome-zarr").files[0]) as source:
        assert np.array_equal(source.read(0, 0, 14), two)


def test_an_ome_zarr_carries_where_its_labels_come_from(project: Project, tmp_path: Path) -> None:
    sent = send(project, tmp_path / "z", "ome-zarr")
    steps = zarr.open_group(Path(sent.labels) / "labels" / "objects").attrs["provenance:steps"]
    kinds = [
        entry.kind for entry in reversed(project.store().log()) if "cells:nuclei" in entry.labels
    ]
    assert [step["name"] for step in steps] == kinds
    assert steps[-1]["by"]


def test_the_slower_of_two_exports_into_one_folder_replaces_nothing(tmp_path: Path) -> None:
    names = ["a.tif", "labels.zarr", "a.json"]

    def fill(folder: Path, text: str) -> None:
        (folder / "a.tif").write_text(text)
        (folder / "labels.zarr").mkdir()
        (folder / "labels.zarr" / "zarr.json").write_text(text)
        (folder / "a.json").write_text(text)

    with (
        pytest.raises(ExchangeError, match=r"holds a\.json already"),
        new_folder_files(tmp_path / "out", names) as slow,
    ):
        fill(slow, "slow")
        (tmp_path / "out" / "a.json").write_text("theirs")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.json"]
    assert (tmp_path / "out" / "a.json").read_text() == "theirs"
    with new_folder_files(tmp_path / "new", names) as folder:
        fill(folder, "mine")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(names)
    assert (tmp_path / "new" / "labels.zarr" / "zarr.json").read_text() == "mine"
