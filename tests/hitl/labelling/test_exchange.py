"""Labels out to every tool and corrected back in: two rounds, the same whichever tool it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from annotations.errors import AxesError, ConflictError, FormatError, LabelError
from annotations.formats import (
    open_image,
    read_labels,
    write_image_tiff,
    write_labels_tiff,
)
from annotations.formats.cellpose_seg import read_cellpose_seg
from annotations.formats.labkit import names_file
from annotations.formats.rois import read_rois, write_rois
from annotations.objects import Status
from annotations.rounds import RoundInfo
from annotations.store import AnnotationStore
from hitl.labelling.add import add_stack
from hitl.labelling.exchange import (
    ExchangeError,
    Exported,
    Imported,
    ImportRequest,
    NothingChangedError,
    export,
    import_labels,
)
from hitl.labelling.exchange.sidecar import Sidecar, sidecar_path
from hitl.labelling.requests import AddRequest, BootstrapRequest
from hitl.postprocess import from_semantic_coding, to_semantic_coding
from hitl.project.config import ProjectConfig, parse_config
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from tests.conftest import RealStack

FORMATS = ("tiff", "labkit", "cellpose", "rois", "ome-zarr", "coded")
SPACING_UM = (2.0, 0.5, 0.5)
Labels = NDArray[np.uint32]


def balls(seed: int = 0) -> tuple[NDArray[np.uint16], Labels]:
    """Eight nuclei of about 9 × 17 × 17 voxels, in two rows of neighbours."""
    z, y, x = np.mgrid[:14, :48, :88]
    image = np.random.default_rng(seed).normal(100, 5, z.shape)
    labels = np.zeros(z.shape, np.uint32)
    for number in range(8):
        cy, cx = 12 + 22 * (number // 4), 12 + 21 * (number % 4)
        inside = ((z - 6.5) / 2.2) ** 2 + ((y - cy) / 8.5) ** 2 + ((x - cx) / 8.5) ** 2 < 1
        image[inside] += 400
        labels[inside] = number + 1
    return image.astype(np.uint16), labels


def new_project(folder: Path, image: NDArray[Any], spacing_um: tuple[float, ...]) -> Project:
    """A project with one stack and its bootstrapped labels."""
    from hitl.labelling.bootstrap import bootstrap

    write_image_tiff(folder / "cells.tif", image, spacing_um)
    project = Project.create(folder / "project", ProjectConfig())
    add_stack(project, AddRequest(image=folder / "cells.tif"), Silent())
    bootstrap(project, BootstrapRequest(segmenter="classical"), Silent())
    return project


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeded")
    new_project(folder, balls()[0], SPACING_UM)
    return folder


@pytest.fixture
def project(seeded: Path, tmp_path: Path) -> Project:
    shutil.copytree(seeded / "project", tmp_path / "project")
    return Project.open(tmp_path / "project")


def stored(project: Project, round: int | None = None) -> Labels:
    return np.asarray(project.store().stack("cells", round).labels[...], np.uint32)


def send(project: Project, folder: Path, fmt: str, round: int | None = None) -> Exported:
    return export(project, "cells", folder, fmt, round, Silent())


def fetch(project: Project, file: Path | str, **options: Any) -> Imported:
    reporter = options.pop("reporter", Silent())
    options = {"stack": "cells", "annotator": "ann", "minutes": 3.0} | options
    return import_labels(project, ImportRequest(file=Path(file), **options), reporter)


# What each tool reads of an export, and how it saves.


def load_tiff(file: Path) -> Labels:
    return read_labels(file)


def save_tiff(file: Path, labels: Labels) -> None:
    write_labels_tiff(file, labels, SPACING_UM, overwrite=True)


def save_labkit(file: Path, labels: Labels) -> None:
    """An index image in an order of Labkit's own, without axes, and the list of names."""
    ids = np.unique(labels[labels > 0])[::-1]
    indices = np.zeros(labels.shape, np.int32)
    for index, number in enumerate(ids, start=1):
        indices[labels == number] = index
    depth, height, width = labels.shape
    described = (
        f"SCIFIO=0.46.0\naxes=X,Y,Unknown\nlengths={width},{height},{depth}\n"
        f"scales=1.0,1.0,1.0\nunits=null,null,null\nbitsPerPixel=32\nimages={depth}\n"
        "channels=1\nslices=1\nframes=1\nhyperstack=true\nmode=composite\nunit=null\n"
    )
    with tifffile.TiffWriter(file) as tif:
        for z, plane in enumerate(indices):
            text = described if z == 0 else None
            tif.write(
                plane, photometric="minisblack", metadata=None, description=text, contiguous=False
            )
    names_file(file).write_text(json.dumps({"labelSets": [[], *([str(i)] for i in ids)]}))


def save_cellpose(file: Path, labels: Labels) -> None:
    """The GUI numbers masks without gaps."""
    state = np.load(file, allow_pickle=True).item()
    masks = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    state["masks"] = masks.astype(np.uint16)
    np.save(file, np.array(state, object), allow_pickle=True)


def save_rois(file: Path, labels: Labels) -> None:
    file.unlink()
    write_rois(file, labels)


def save_zarr(file: Path, labels: Labels) -> None:
    zarr.open_group(file / "labels" / "objects", mode="r+")["0"][...] = labels


def save_coded(file: Path, labels: Labels) -> None:
    save_tiff(file, to_semantic_coding(labels))


LOAD: dict[str, Callable[[Path, tuple[int, ...]], Labels]] = {
    "tiff": lambda file, shape: read_labels(file),
    "labkit": lambda file, shape: read_labels(file),
    "cellpose": lambda file, shape: read_cellpose_seg(file),
    "rois": lambda file, shape: read_rois(file, shape).labels,
    "ome-zarr": lambda file, shape: read_labels(file / "labels" / "objects"),
    "coded": lambda file, shape: from_semantic_coding(read_labels(file)),
}
SAVE = {
    "tiff": save_tiff,
    "labkit": save_labkit,
    "cellpose": save_cellpose,
    "rois": save_rois,
    "ome-zarr": save_zarr,
    "coded": save_coded,
}


def by_position(labels: Labels) -> list[int]:
    """Ids in the order of their first voxels."""
    ids, first = np.unique(labels, return_index=True)
    return [int(i) for i in ids[np.argsort(first)] if i]


def first_edit(labels: Labels) -> Labels:
    """Merge the first two objects, delete the third, add a slice's rim to the fourth."""
    out, (a, b, c, d) = labels.copy(), by_position(labels)[:4]
    out[labels == b] = a
    out[labels == c] = 0
    z = int(np.argwhere(labels == d)[:, 0].max())
    if z + 1 < len(labels):
        out[z + 1][(labels[z] == d) & (labels[z + 1] == 0)] = d
    return out


def second_edit(labels: Labels) -> Labels:
    """Split the last object along x, and add a box in the largest gap of the first slice."""
    out, last = labels.copy(), by_position(labels)[-1]
    x = np.argwhere(labels == last)[:, 2]
    right = (labels == last) & (np.arange(labels.shape[2]) > np.median(x))
    out[right] = labels.max() + 1
    for y, x0 in np.ndindex(labels.shape[1] - 3, labels.shape[2] - 3):
        if not labels[:2, y : y + 3, x0 : x0 + 3].any():
            out[:2, y : y + 3, x0 : x0 + 3] = labels.max() + 2
            return out
    raise AssertionError("the stack is full")


def two_rounds(project: Project, folder: Path, fmt: str) -> dict[str, Any]:
    """Export, correct, import, twice; return all that the store says of it."""
    shape = stored(project).shape
    for number, edit in enumerate((first_edit, second_edit), start=1):
        sent = send(project, folder / f"{fmt}-{number}", fmt)
        file = Path(sent.labels)
        SAVE[fmt](file, edit(LOAD[fmt](file, shape)))
        fetch(project, file)
    store = project.store()
    view = store.stack("cells")
    rounds = store.rounds()
    return {
        "labels": stored(project),
        "verified": np.asarray(view.verified[...]),
        "objects": {key: value.tolist() for key, value in view.objects.to_arrays().items()},
        "rounds": [
            (e.round, e.kind, e.author, e.minutes, dict(e.counts), e.config.get("base_round"))
            for e in rounds
        ],
    }


def check_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found["rounds"][1:] == expected["rounds"][1:]
    assert np.array_equal(found["labels"], expected["labels"])
    assert np.array_equal(found["verified"], expected["verified"])
    for key, column in expected["objects"].items():
        assert np.array_equal(found["objects"][key], column, equal_nan=key == "confidence"), key


@pytest.fixture(scope="module")
def expected(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("expected")
    shutil.copytree(seeded / "project", folder / "project")
    return two_rounds(Project.open(folder / "project"), folder, "tiff")


def test_what_was_done_is_counted(expected: dict[str, Any]) -> None:
    assert [entry[:4] for entry in expected["rounds"]] == [
        (0, "bootstrap", "model:classical", None),
        (1, "import", "ann", 3.0),
        (2, "import", "ann", 3.0),
    ]
    first, second = (entry[4]["cells"] for entry in expected["rounds"][1:])
    assert (first.merged, first.deleted, first.reshaped, first.split, first.added) == (
        1,
        1,
        1,
        0,
        0,
    )
    assert (second.merged, second.deleted, second.reshaped) == (0, 0, 0)
    assert (second.split, second.added) == (1, 1)
    assert 0 < expected["verified"].mean() < 0.9


@pytest.mark.parametrize("fmt", [f for f in FORMATS if f != "tiff"])
def test_every_tool_gives_the_same_provenance(
    fmt: str, project: Project, tmp_path: Path, expected: dict[str, Any]
) -> None:
    check_same(two_rounds(project, tmp_path, fmt), expected)


@pytest.mark.real
def test_two_rounds_of_every_tool_on_a_real_stack(
    real_stack: Callable[[str], RealStack], tmp_path: Path
) -> None:
    image, _, spacing_um = real_stack("gonuclear_1136")
    new_project(tmp_path, image, spacing_um)
    results = {}
    for fmt in FORMATS:
        shutil.copytree(tmp_path / "project", tmp_path / fmt)
        results[fmt] = two_rounds(Project.open(tmp_path / fmt), tmp_path, fmt)
    assert [entry[1] for entry in results["tiff"]["rounds"]] == ["bootstrap", "import", "import"]
    for found in results.values():
        check_same(found, results["tiff"])


# What is written


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
        assert np.array_equal(image.read(0, 14)[0], project.store().stack("cells").read_channel())
        assert image.info.spacing_um == pytest.approx(SPACING_UM)
    sidecar = Sidecar.read(sidecar_path(Path(sent.labels)))
    assert (sidecar.stack, sidecar.round, sidecar.format) == ("cells", 0, fmt)
    assert sidecar.snapshot == project.store().round_snapshot(0)
    assert list(sidecar.ids) == by_id(stored(project))
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        *(Path(file).name for file in sent.files),
        sidecar_path(Path(sent.labels)).name,
    }
    assert str(sent.to_dict()["labels"]) in sent.sentence()


def by_id(labels: Labels) -> list[int]:
    return [int(i) for i in np.unique(labels) if i]


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
        view = round_.stack("cells")
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

    monkeypatch.setattr("hitl.labelling.exchange.writing.write_rois", full)
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


# What is refused


def test_untouched_labels_make_no_round(project: Project, tmp_path: Path) -> None:
    for fmt in FORMATS:
        sent = send(project, tmp_path / fmt, fmt)
        with pytest.raises(NothingChangedError, match="no round was made"):
            fetch(project, sent.labels)
    assert len(project.store().rounds()) == 1


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
    view = project.store().stack("cells")
    assert view.verified_voxels == np.prod(view.info.zyx) == done.verified_voxels
    assert done.counts.accepted == len(view.objects)
    assert set(view.objects.status.tolist()) == {Status.ACCEPTED}
    assert "accepted" in done.sentence()
    assert done.to_dict()["round"] == 1
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


def test_labels_from_before_the_first_round_are_merged_too(tmp_path: Path) -> None:
    image, labels = balls()
    write_image_tiff(tmp_path / "cells.tif", image, SPACING_UM)
    write_labels_tiff(tmp_path / "truth.tif", labels, SPACING_UM)
    project = Project.create(tmp_path / "project", ProjectConfig())
    request = AddRequest(image=tmp_path / "cells.tif", labels=tmp_path / "truth.tif")
    add_stack(project, request, Silent())
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
def test_labels_of_another_stack(fmt: str, project: Project, tmp_path: Path) -> None:
    write_image_tiff(tmp_path / "others.tif", balls(seed=1)[0], SPACING_UM)
    add_stack(project, AddRequest(image=tmp_path / "others.tif"), Silent())
    sent = send(project, tmp_path / "a", fmt)
    with pytest.raises(LabelError, match="those of 'cells'"):
        fetch(project, sent.labels, stack="others")
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


# Files without their sidecar


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
    add_stack(project, AddRequest(image=tmp_path / "square.tif"), Silent())
    np.save(tmp_path / "square.npy", square)
    with pytest.raises(AxesError, match="--axes"):
        fetch(project, tmp_path / "square.npy", stack="square")
    fetch(project, tmp_path / "square.npy", stack="square", axes="ZXY")
    found = AnnotationStore.open(project.folder / "store", read_only=True).stack("square").labels
    assert np.array_equal(np.asarray(found[...]), square.transpose(0, 2, 1))


def test_coded_labels_of_other_makers(project: Project, tmp_path: Path) -> None:
    coded = to_semantic_coding(first_edit(stored(project)))
    write_labels_tiff(tmp_path / "coded.tif", coded, SPACING_UM)
    assert fetch(project, tmp_path / "coded.tif", coded=True).counts.merged == 1


def test_another_channel_is_exported_as_the_stack_says(tmp_path: Path) -> None:
    image, labels = balls()
    two = np.stack([np.flip(image), image])
    write_image_tiff(tmp_path / "two.tif", two, SPACING_UM)
    write_labels_tiff(tmp_path / "truth.tif", labels, SPACING_UM)
    project = Project.create(tmp_path / "project", parse_config({}))
    request = AddRequest(
        image=tmp_path / "two.tif", labels=tmp_path / "truth.tif", channel="1", name="cells"
    )
    add_stack(project, request, Silent())
    with open_image(send(project, tmp_path / "a", "tiff").files[0]) as source:
        assert np.array_equal(source.read(0, 14)[0], image)
    with open_image(send(project, tmp_path / "b", "ome-zarr").files[0]) as source:
        assert np.array_equal(source.read(0, 14), two)


def test_an_ome_zarr_carries_where_its_labels_come_from(project: Project, tmp_path: Path) -> None:
    sent = send(project, tmp_path / "z", "ome-zarr")
    steps = zarr.open_group(Path(sent.labels) / "labels" / "objects").attrs["provenance:steps"]
    kinds = [entry.kind for entry in reversed(project.store().log()) if "cells" in entry.stacks]
    assert [step["name"] for step in steps] == kinds
    assert steps[-1]["by"]
