"""`hitl measure`: what it writes of a project and of two files, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import tifffile

from annotations.formats import write_image_tiff, write_labels_tiff
from annotations.objects import ObjectTable, Status
from annotations.rounds import ModelRef, RoundInfo
from hitl.cli import run
from hitl.measure import output as output_module
from hitl.measure import table as table_module
from hitl.measure.collected import measure_files
from hitl.measure.columns import dictionary
from hitl.measure.requests import MeasureRequest, parse_formats
from hitl.project.folder import Project
from hitl.project.reporter import Silent

SPACING = (2.0, 1.0, 1.0)
SHAPE = (8, 40, 60)
SHA256 = "ab" * 32


def grid(shift: int = 0) -> np.ndarray:
    """24 boxes of 3 × 5 × 5 voxels."""
    labels = np.zeros(SHAPE, np.uint32)
    boxes = [(z, y, x) for z in (0, 4) for y in (3, 15, 27) for x in (4, 18, 32, 46)]
    for label, (z, y, x) in enumerate(boxes, start=1):
        labels[z : z + 3, y : y + 5, x + shift : x + shift + 5] = label
    return labels


def picture(labels: np.ndarray) -> np.ndarray:
    """Two channels in which the nuclei of even rows, and of odd ids, are bright."""
    rng = np.random.default_rng(0)
    ids = np.arange(labels.max() + 1)
    levels = np.stack([np.where(ids // 4 % 2, 900, 60), np.where(ids % 2, 800, 50)])
    levels = (levels * rng.lognormal(0, 0.1, levels.shape)).astype(int)
    levels[:, 0] = 20
    return rng.poisson(levels[:, labels]).astype(np.uint16)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Labels, and an image of two channels."""
    labels, image = tmp_path / "labels.tif", tmp_path / "image.ome.tif"
    write_labels_tiff(labels, grid(), SPACING)
    about = {"axes": "CZYX", "Channel": {"Name": ["Cy3", "GFP"]}}
    for axis, size in zip("ZYX", SPACING, strict=True):
        about |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
    tifffile.imwrite(image, picture(grid()), ome=True, metadata=about)
    return labels, image


@pytest.fixture
def project(tmp_path: Path, files: tuple[Path, Path]) -> Path:
    """Two classes of one field, a person's labels and a model's; and another field beside it."""
    folder = tmp_path / "project"
    image = str(files[1])
    classes = ["--class", "red=Cy3", "--class", "green=GFP"]
    for arguments in (
        ["init", str(folder)],
        ["add", str(folder), image, "--field", "one", *classes, "--labels", f"red={files[0]}",
         "--meta", "condition==1+1", "well=B3"],
        ["add", str(folder), image, "--field", "two", "--class", "red=Cy3", "--labels",
         str(files[0])],
    ):  # fmt: skip
        assert run(arguments) == 0
    propose(folder)
    return folder


def propose(folder: Path) -> None:
    """Commit labels by a model with weights to the class ``green``."""
    labels = grid(shift=3)
    objects = ObjectTable.make(
        np.arange(1, 25), status=Status.PROPOSED, origin="model:unet3d-0001",
        confidence=np.linspace(0, 1, 24), round=0,
    )  # fmt: skip
    info = RoundInfo(
        kind="propose", message="m", author="model:unet3d-0001",
        model=ModelRef(name="unet3d-0001", weights_sha256=SHA256),
    )  # fmt: skip
    with Project.open(folder).store(read_only=False).begin_round(info) as round_:
        round_.set_labels("one:green", labels, objects)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run `hitl measure`, which must succeed, and give what it prints as JSON."""

    def call(*arguments: object) -> dict[str, Any]:
        capsys.readouterr()
        code = run(["measure", *map(str, arguments), "--json"])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return json.loads(printed.out)

    return call


def of_files(files: tuple[Path, Path], *more: object) -> list[object]:
    return ["--labels", files[0], "--image", files[1], *more]


def test_a_project_s_rows_say_where_they_come_from(project, command):
    done = command(project, "--fucci", "Cy3", "GFP")
    folder = project / "measurements" / "0001"
    assert set(done["files"]) == set(output_module.NAMES)
    rows = pq.read_table(folder / "nuclei.parquet").to_pylist()
    assert [row["field"] for row in rows] == ["one"] * 48 + ["two"] * 24
    green, red, alone = rows[0], rows[24], rows[48]
    assert (green["status"], green["model"], green["model_weights_sha256"]) == (
        "proposed", "unet3d-0001", SHA256)  # fmt: skip
    assert (green["round"], green["round_changed"], green["confidence"]) == (0, 0, 0)
    assert (red["status"], red["model"], red["round_changed"]) == ("accepted", None, None)
    assert red["origin"].startswith("person:") and red["round"] == 0
    assert (green["class"], red["class"], alone["class"]) == ("green", "red", "red")
    assert (red["meta_condition"], red["meta_well"], alone["meta_well"]) == ("=1+1", "B3", None)
    assert red["volume_um3"] == 150 and red["voxels"] == 75
    # The boxes of the two classes overlap, shifted by 3 voxels.
    assert (red["other_class"], red["other_id"], red["other_distance_um"]) == ("green", 1, 0)
    # The other field holds the same boxes, and has no other class.
    assert (alone["other_class"], alone["other_id"]) == (None, None)
    assert done["fields"][0]["model_weights_sha256"] is None
    assert command(project, "--field", "one:red")["fields"][0]["round"] == 0
    assert (project / "measurements" / "0002" / "nuclei.csv").is_file()


def test_three_formats_hold_the_same_values(files, command, tmp_path):
    command(*of_files(files, "--output", tmp_path / "out", "--fucci", "Cy3", "1"))
    parquet = pq.read_table(tmp_path / "out" / "nuclei.parquet")
    read = pyarrow.csv.read_csv(tmp_path / "out" / "nuclei.csv")
    book = openpyxl.load_workbook(tmp_path / "out" / "nuclei.xlsx")
    assert book.sheetnames == ["nuclei", "phases", "columns", "provenance"]
    sheet = list(book["nuclei"].iter_rows(values_only=True))
    assert list(sheet[0]) == parquet.column_names == read.column_names
    for number, row in enumerate(parquet.to_pylist()):
        for name, mine, cell in zip(row, row.values(), sheet[number + 1], strict=True):
            other = read[name][number].as_py()
            if isinstance(mine, float):
                assert other == mine and cell == pytest.approx(mine, rel=1e-14)
            else:
                assert cell == mine and (other == mine or (mine is None and other in (None, "")))
    assert set(parquet["fucci_phase"].to_pylist()) == {"G1", "G1/S", "S/G2/M", "M→G1"}
    entries = json.loads((tmp_path / "out" / "columns.json").read_text())
    assert [entry["name"] for entry in entries] == parquet.column_names
    assert all(entry["meaning"] for entry in entries)
    field = parquet.schema.field("volume_um3")
    assert field.metadata[b"unit"].decode() == "µm³"
    about = json.loads(parquet.schema.metadata[b"hitl"])
    assert about["fields"][0]["spacing_um"] == list(SPACING)


def test_text_that_would_be_a_formula_is_written_as_text(project, command):
    command(project, "--field", "one", "--class", "red")
    folder = project / "measurements" / "0001"
    assert '"\'=1+1"' in (folder / "nuclei.csv").read_text()
    cells = [c for row in openpyxl.load_workbook(folder / "nuclei.xlsx")["nuclei"] for c in row]
    assert "'=1+1" in {cell.value for cell in cells}
    assert not [cell for cell in cells if cell.data_type == "f"]
    assert set(pq.read_table(folder / "nuclei.parquet")["meta_condition"].to_pylist()) == {"=1+1"}


def test_rows_beyond_excel_s_limit_go_on_in_further_sheets(files, tmp_path, monkeypatch):
    monkeypatch.setattr(table_module, "EXCEL_ROWS", 11)
    told = Silent()
    labels, image = files
    request = MeasureRequest(labels=labels, image=image, output=tmp_path / "out", formats="xlsx")
    measure_files(request, told)
    book = openpyxl.load_workbook(tmp_path / "out" / "nuclei.xlsx")
    assert book.sheetnames[:3] == ["nuclei", "nuclei 2", "nuclei 3"]
    ids = [row[1] for name in book.sheetnames[:3]
           for row in book[name].iter_rows(min_row=2, values_only=True)]  # fmt: skip
    assert ids == list(range(1, 25))
    assert any("3 sheets" in note for note in told.notes)


def test_no_label_gives_a_table_with_columns(files, command, tmp_path):
    write_labels_tiff(files[0], np.zeros(SHAPE, np.uint32), SPACING, overwrite=True)
    done = command(*of_files(files, "--output", tmp_path / "out", "--fucci", "Cy3", "GFP"))
    table = pq.read_table(tmp_path / "out" / "nuclei.parquet")
    assert table.num_rows == 0 and "cy3_mean" in table.column_names
    assert any("no object" in note for note in done["notes"])
    assert done["fields"][0]["fucci"]["uncertain_fraction"] is None


def test_nothing_is_overwritten_unless_it_is_said(files, command, tmp_path, capsys):
    out = tmp_path / "out"
    command(*of_files(files, "--output", out))
    before = (out / "nuclei.csv").read_bytes()
    assert run(["measure", *map(str, of_files(files, "--output", out))]) == 1
    assert "say --overwrite" in capsys.readouterr().err
    assert (out / "nuclei.csv").read_bytes() == before
    (out / "notes.txt").write_text("mine")
    command(*of_files(files, "--output", out, "--overwrite", "--format", "csv"))
    assert sorted(p.name for p in out.iterdir()) == [
        "columns.json", "notes.txt", "nuclei.csv", "summary.json"]  # fmt: skip


class Stops(Silent):
    """A person who interrupts at a step."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word

    def progress(self, done: int, total: int, what: str) -> None:
        if self.word in what:
            raise KeyboardInterrupt


@pytest.mark.parametrize("word", ["shapes", "distances", "intensities", "xlsx"])
def test_an_interruption_leaves_no_file(files, tmp_path, word):
    before = set(tmp_path.iterdir())
    labels, image = files
    request = MeasureRequest(labels=labels, image=image, output=tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        measure_files(request, Stops(word))
    assert set(tmp_path.iterdir()) == before


def test_a_full_disk_leaves_no_file(files, small_disk, capsys):
    (small_disk / "filler").write_bytes(bytes(1020 * 1024))
    code = run(["measure", *map(str, of_files(files, "--output", small_disk / "out"))])
    assert code == 1 and "No space left" in capsys.readouterr().err
    assert [p.name for p in small_disk.iterdir()] == ["filler"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fucci", "Cy3", "GFPP"], "did you mean 'GFP'"),
        (["--fucci", "Cy3", "0"], "are one channel"),
        (["--format", "csv,ods"], "expected one or more of parquet, csv, xlsx"),
        (["--neighbour-um", "-1"], "expected a number from 0.0001"),
        (["--output", "nowhere/out"], "does not exist"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(files, tmp_path, capsys, arguments, words):
    given = of_files(files, "--output", tmp_path / "out", *arguments)
    assert run(["measure", *map(str, given)]) in (1, 2)
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda labels, image: tifffile.imwrite(labels, np.ones(SHAPE, np.float32) / 2), "integer"),
        (lambda labels, image: write_labels_tiff(labels, grid()[:, :-1], SPACING, overwrite=True),
         "of one shape"),
        (lambda labels, image: tifffile.imwrite(image, np.ones(SHAPE, np.uint8), ome=False),
         "axes"),
        (lambda labels, image: write_labels_tiff(labels, grid(), SPACING, times=2, overwrite=True),
         "a time series of 2; split"),
    ],
)  # fmt: skip
def test_bad_files_are_refused_in_one_line(files, tmp_path, capsys, make, words):
    make(*files)
    given = of_files(files, "--output", tmp_path / "out", "--axes", "CZYX")
    given = given if words != "axes" else given[:-2]
    if words in ("of one shape", "a time series of 2; split"):
        given = given[:-2]
    assert run(["measure", *map(str, given)]) in (1, 2)
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_a_flat_image_is_measured_in_areas(files, tmp_path, command):
    labels, image = files
    write_labels_tiff(labels, grid()[:1], SPACING, overwrite=True)
    write_image_tiff(image, picture(grid())[:, :1], SPACING, overwrite=True)
    command(*of_files(files, "--output", tmp_path / "out"))
    rows = pq.read_table(tmp_path / "out" / "nuclei.parquet").to_pylist()
    assert [row["volume_um3"] for row in rows] == [25] * 12


def test_a_missing_voxel_size_is_asked_for(files, tmp_path, capsys):
    tifffile.imwrite(files[1], picture(grid())[0])
    given = of_files(files, "--output", tmp_path / "out", "--axes", "ZYX")
    assert run(["measure", *map(str, given)]) == 1
    assert "--spacing-um" in capsys.readouterr().err
    assert run(["measure", *map(str, given), "--spacing-um", "2", "1", "1"]) == 0


@pytest.mark.parametrize(
    "arguments",
    [["measure"], ["measure", "p", "--labels", "a"], ["measure", "--labels", "a"],
     ["measure", "--labels", "a", "--image", "b"], ["measure", "p", "--axes", "ZYX"],
     ["measure", "--labels", "a", "--image", "b", "--output", "c", "--round", "1"],
     ["measure", "p", "--thresholds", "1", "2"]],
)  # fmt: skip
def test_wrong_usage_exits_with_2(arguments):
    assert run(arguments) == 2


def test_a_project_without_labels_says_what_to_do(tmp_path, files, capsys):
    assert run(["init", str(tmp_path / "p")]) == 0
    assert run(["measure", str(tmp_path / "p")]) == 1
    assert "hitl add" in capsys.readouterr().err
    assert run(["add", str(tmp_path / "p"), str(files[1]), "--channel", "0"]) == 0
    assert run(["measure", str(tmp_path / "p")]) == 1
    assert "hitl bootstrap" in capsys.readouterr().err
    assert run(["measure", str(tmp_path / "p"), "--round", "4"]) == 1
    assert "round 4" in capsys.readouterr().err
    assert not (tmp_path / "p" / "measurements").exists()


def test_what_a_segmenter_predicts_is_measured(project, command):
    done = command(project, "--field", "one:red", "--model", "classical", "--format", "csv")
    assert done["fields"][0]["model"] == "classical" and done["fields"][0]["round"] is None
    assert done["fields"][0]["nuclei"] > 0
    assert run(["measure", str(project), "--model", "classical", "--round", "0"]) == 1


def test_formats_and_columns_are_known():
    assert parse_formats("CSV, parquet,csv") == ("csv", "parquet")
    with pytest.raises(KeyError):
        dictionary(["nonsense"], {})


def test_thresholds_of_a_series_are_those_of_all_its_time_points(tmp_path, command):
    whole = grid()
    # Of its 24 nuclei each time point shows 8, too few for thresholds of their own.
    labels = np.stack([np.where((whole - 1) // 8 == t, whole, 0) for t in range(3)])
    image = np.stack([np.where(labels[t] > 0, picture(whole), 20) for t in range(3)])
    write_image_tiff(tmp_path / "image.tif", image, SPACING, time_step_s=60)
    write_labels_tiff(
        tmp_path / "labels.tif", labels.reshape(-1, *SHAPE[1:]), SPACING, times=3, time_step_s=60
    )
    folder = tmp_path / "series"
    named = ("--channel-name", "Cy3", "--channel-name", "GFP")
    classes = ("--class", "red=Cy3", "--labels", f"red={tmp_path / 'labels.tif'}")
    assert run(["init", str(folder)]) == 0
    added = ["add", str(folder), str(tmp_path / "image.tif"), "--field", "one", *named, *classes]
    assert run(added) == 0
    done = command(folder, "--fucci", "Cy3", "GFP")
    rows = pq.read_table(folder / "measurements" / "0001" / "nuclei.parquet").to_pylist()
    assert [row["time"] for row in rows] == [0] * 8 + [1] * 8 + [2] * 8
    assert {row["fucci_phase"] for row in rows} == {"G1", "G1/S", "S/G2/M", "M→G1"}
    abouts = [about["fucci"] for about in done["fields"]]
    assert [about["nuclei"] for about in abouts] == [8, 8, 8]
    assert abouts[0]["thresholds"] == abouts[2]["thresholds"] != {}
