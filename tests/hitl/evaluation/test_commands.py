"""`hitl score`, `hitl agreement` and what `hitl evaluate` adds, as a person calls them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from annotations.formats import write_image_tiff, write_labels_tiff
from hitl.cli import run
from hitl.evaluation.agreement import Rater, agree, agree_rounds
from hitl.evaluation.ceiling import ceiling, read_agreements
from hitl.evaluation.metrics.all_metrics import score
from hitl.evaluation.metrics.items import METRICS
from hitl.project.errors import HitlError, NothingToDoError, ProjectError
from hitl.project.folder import Project
from hitl.project.plain import plain
from hitl.project.reporter import Silent
from tests.hitl.evaluation.label_pairs import blobs

SPACING = (2.0, 0.5, 0.5)


@pytest.fixture
def files(tmp_path):
    """Label TIFFs of two people, and an image; the TIFFs carry the voxel size."""
    truth, other = blobs(0, jitter=1)
    found = {}
    for name, labels in (("ann", truth), ("bob", other), ("none", np.zeros_like(truth))):
        found[name] = tmp_path / f"{name}.tif"
        write_labels_tiff(found[name], labels, SPACING)
    found["image"] = tmp_path / "image.tif"
    noise = np.random.default_rng(0).poisson(50 + 200 * (truth > 0)).astype(np.uint16)
    write_image_tiff(found["image"], noise, SPACING)
    return found


@pytest.fixture
def refused(capsys):
    """Run a command that must be refused; gives its one line on standard error."""

    def call(*arguments):
        capsys.readouterr()
        code = run([*map(str, arguments)])
        printed = capsys.readouterr()
        errors = [line for line in printed.err.splitlines() if not line.startswith("note: ")]
        assert code in (1, 2), printed
        assert printed.out == ""
        assert len(errors) == 1, printed.err
        return errors[0]

    return call


def bare(path, array):
    """A TIFF with axes but without a voxel size."""
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": "ZYX"})
    return path


# hitl score


def test_score_takes_the_voxel_size_of_the_files(files, command):
    found = command("score", files["ann"], files["bob"])
    truth, other = blobs(0, jitter=1)
    expected = plain(score(truth, other, spacing_um=SPACING))
    assert found["boundary"] == expected["boundary"]
    assert found["boundary"]["tolerance_um"] == 1.0
    assert found["objects"][0]["centroid_um"] == expected["objects"][0]["centroid_um"]
    assert found["cases"] == expected["cases"]
    assert set(found["intervals"]) == set(METRICS)
    assert found["intervals"]["f1"]["low"] <= found["f1"] <= found["intervals"]["f1"]["high"]
    given = command("score", files["ann"], files["bob"], "--spacing-um", 2, 1, 1)
    assert given["spacing_um"] == [2, 1, 1]


def test_score_options_reach_the_metrics(files, command):
    options = ["--border", "drop", "--min-voxels", 50, "--tolerance-um", 0.5, "--centroid-um", 3]
    found = command("score", files["ann"], files["bob"], *options)
    assert found["options"]["border"] == "drop"
    assert found["options"]["min_voxels"] == 50
    assert found["boundary"]["tolerance_um"] == 0.5
    assert (found["centroids"]["within"], found["centroids"]["unit"]) == (3, "um")
    assert found["left_out"]["truth_ids"]
    assert found["n_truth"] == found["border"]["without"]["n_truth"] < 25
    assert found["f1"] == found["border"]["without"]["f1"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tolerance-um", "1"], "--tolerance-um: expected a spacing"),
        (["--centroid-um", "1"], "--centroid-um: expected a spacing"),
        (["--min-volume-um3", "1"], "--min-volume-um3: expected a spacing"),
        (["--border", "cut"], "--border cut: expected keep or drop"),
        (["--min-voxels", "-3"], "--min-voxels: expected at least 0, got '-3'"),
        (
            ["--spacing-um", "1", "0", "1"],
            "--spacing-um: expected a number from 0.0001 to 100,000, got 0",
        ),
        (["--centroid-px", "0"], "--centroid-px: expected a number from 1e-06 to 1,000,000"),
    ],
)
def test_score_refuses_options_in_one_line(tmp_path, refused, options, said):
    truth, pred = blobs(0)
    names = [bare(tmp_path / f"{n}.tif", a.astype("u2")) for n, a in (("t", truth), ("p", pred))]
    assert said in refused("score", *names, *options)


def test_score_refuses_labels_in_one_line(tmp_path, refused):
    truth, _ = blobs(0)
    good = bare(tmp_path / "t.tif", truth.astype("u2"))
    other = bare(tmp_path / "o.tif", truth[:5].astype("u2"))
    assert "one shape" in refused("score", good, other)
    assert "integer" in refused("score", good, bare(tmp_path / "f.tif", truth.astype("f4")))
    np.save(tmp_path / "n.npy", -truth.astype("i4"))
    assert "negative" in refused("score", good, tmp_path / "n.npy", "--axes", "ZYX")


def test_score_of_a_flat_image_but_not_of_a_series(tmp_path, command, refused):
    truth, other = blobs(0, jitter=1)
    for name, labels in (("t", truth), ("p", other)):
        write_labels_tiff(tmp_path / f"{name}.tif", labels[4:5], SPACING)
        write_labels_tiff(tmp_path / f"{name}s.tif", labels[:4], SPACING, times=2)
    found = command("score", tmp_path / "t.tif", tmp_path / "p.tif")
    assert found["f1"] == plain(score(truth[4:5], other[4:5], spacing_um=(1, 0.5, 0.5)))["f1"] > 0
    assert found["spacing_um"] == [1, 0.5, 0.5]
    line = refused("score", tmp_path / "ts.tif", tmp_path / "ps.tif")
    assert "expected one time point, got a time series of 2; split it" in line


@pytest.mark.parametrize(
    ("truth", "pred", "said"),
    [
        ("none", "ann", "the truth holds no object"),
        ("none", "none", "neither the truth nor the prediction holds an object"),
    ],
)
def test_score_says_why_a_value_is_missing(files, command, truth, pred, said):
    found = command("score", files[truth], files[pred])
    assert found["evaluation_score"] is None
    assert any(note.startswith("not computed: ") and said in note for note in found["notes"])
    assert command("score", files["ann"], files["none"])["evaluation_score"] == 0


def test_score_without_a_voxel_size_says_so(tmp_path, command):
    truth, pred = blobs(0)
    names = [bare(tmp_path / f"{n}.tif", a.astype("u2")) for n, a in (("t", truth), ("p", pred))]
    found = command("score", *names)
    assert found["boundary"] is None
    assert any("boundary" in note and "no spacing" in note for note in found["notes"])


def test_score_of_few_objects_says_so(tmp_path, command):
    truth = np.zeros((4, 20, 20), np.uint32)
    truth[1:3, 5:9, 5:9] = 7
    write_labels_tiff(tmp_path / "t.tif", truth, SPACING)
    found = command("score", tmp_path / "t.tif", tmp_path / "t.tif")
    assert found["f1"] == 1
    assert any("only 1 object in the truth" in note for note in found["notes"])


def test_score_prints_the_main_metrics_and_the_rest_on_request(files, capsys):
    assert run(["score", str(files["ann"]), str(files["bob"])]) == 0
    short = capsys.readouterr().out
    assert run(["score", str(files["ann"]), str(files["bob"]), "--all"]) == 0
    long = capsys.readouterr().out
    for word in ("evaluation score", "AJI", "F1 of boundaries", "within 1 µm", "count error"):
        assert word in short
        assert word in long
    assert len(short.splitlines()) < 35
    for word in ("dsb2018", "without", "nucleus", "0.95"):
        assert word in long
        assert word not in short.replace("0.5–0.95", "")


# Agreement


def raters():
    return Rater("ann", "ann.tif"), Rater("bob", "bob.tif")


def test_agreement_is_the_same_both_ways():
    a, b = blobs(0, jitter=1)
    there, back = (
        agree(*pair, kind="annotators", field="s", raters=raters(), spacing_um=SPACING)[0]
        for pair in ((a, b), (b, a))
    )
    assert there.values == pytest.approx(back.values)
    assert there.values["f1"] == pytest.approx(score(a, b).at_half.f1)
    one_way, other_way = score(a, b).evaluation_score, score(b, a).evaluation_score
    assert one_way != other_way
    assert there.values["evaluation_score"] == pytest.approx((one_way + other_way) / 2)
    assert "precision" not in there.values
    for name, between in there.intervals.items():
        assert between.low <= there.values[name] <= between.high, name
    itself, _ = agree(a, a, kind="self", field="s", raters=raters(), spacing_um=SPACING)
    assert itself.values["evaluation_score"] == itself.values["boundary.f1"] == 1


def test_agreement_of_nothing_says_why():
    nothing = np.zeros((3, 8, 8), np.uint32)
    found, _ = agree(nothing, nothing, kind="annotators", field="s", raters=raters())
    assert found.values["f1"] is None
    missing = {key for key, value in found.values.items() if value is None}
    assert missing == set(found.reasons)
    assert all(found.reasons.values())


@pytest.fixture
def project(tmp_path, files, command):
    """A project with one field whose labels ann drew, then bob."""
    folder = tmp_path / "project"
    command("init", folder)
    command("add", folder, files["image"], "--name", "s", "--split", "test")
    for number, who in enumerate(("ann", "bob")):
        found = command("import", folder, "s", files[who], "--annotator", who, "--verified", "all")
        assert found["round"] == number
    return folder


def test_agreement_of_files_is_kept_for_the_report(project, files, command):
    first = command(
        "agreement", files["ann"], files["bob"], "--project", project, "--field", "s",
        "--names", "Ann", "Bob",
    )  # fmt: skip
    command("agreement", files["ann"], files["ann"], "--project", project, "--field", "s", "--self")
    kept = read_agreements(Project.open(project))
    assert [found["kind"] for found in kept] == ["annotators", "self"]
    assert kept[0]["values"] == first["values"]
    assert kept[0]["first"] == {"name": "Ann", "source": "ann.tif", "objects": 25}
    people = ceiling(kept)
    assert people["annotators"]["mean"]["f1"] == first["values"]["f1"]
    assert people["self"]["mean"]["f1"] == 1
    assert people["self"] == {**people["self"], "fields": ["s"], "pairs": 1}


def test_agreement_of_rounds(project, files, command):
    found = command("agreement", 0, 1, "--project", project, "--field", "s")
    direct = command("agreement", files["ann"], files["bob"])
    assert found["kind"] == "annotators"
    assert (found["first"]["name"], found["second"]["source"]) == ("ann", "round 1")
    assert found["values"]["f1"] == pytest.approx(direct["values"]["f1"])
    same = command("agreement", 1, 1, "--project", project, "--field", "s")
    assert same["kind"] == "self"
    assert any("same to the voxel" in note for note in same["notes"])


def test_evaluation_has_everything_that_the_report_needs(project, files, command):
    people = command("agreement", files["ann"], files["bob"], "--project", project, "--field", "s")
    found = command("evaluate", project, "--model", "classical", "--border", "drop")
    assert json.loads(Path(found["file"]).read_text())["ceiling"] == found["ceiling"]
    assert found["ceiling"]["annotators"]["mean"]["f1"] == people["values"]["f1"]
    assert found["options"]["border"] == "drop"
    model = found["models"]["classical"]
    assert set(model) == {"mean", "intervals", "classes", "fields"}
    assert set(model["intervals"]) == set(METRICS)
    assert next(iter(model["classes"].values()))["f1"] == model["mean"]["f1"]
    assert {case["kind"] for case in model["fields"]["s"]["cases"]}
    assert found["comparisons"] == []


def test_means_of_agreement_count_each_field_once():
    kept = [
        {"kind": "annotators", "field": "a", "values": {"f1": 1.0, "aji": None}},
        {"kind": "annotators", "field": "a", "values": {"f1": 0.0, "aji": None}},
        {"kind": "annotators", "field": "b", "values": {"f1": 0.9, "aji": None}},
    ]
    found = ceiling(kept)["annotators"]
    assert found["mean"] == {"f1": pytest.approx(0.7), "aji": None}
    assert (found["fields"], found["pairs"]) == (["a", "b"], 3)


def test_agreement_refuses_in_one_line(project, files, refused, tmp_path):
    small = tmp_path / "small.tif"
    write_labels_tiff(small, blobs(0)[0][:4], SPACING)
    where = ("--project", project, "--field", "s")
    assert "shape" in refused("agreement", small, small, *where)
    assert "expected both or neither" in refused("agreement", small, small, "--field", "s")
    assert "one shape" in refused("agreement", files["ann"], small)
    assert "round 7" in refused("agreement", "0", "7", *where)
    (project / "agreement").mkdir(exist_ok=True)
    (project / "agreement" / "0001.json").write_text("{}")
    assert "0001.json: expected an agreement" in refused(
        "evaluate", project, "--model", "classical"
    )
    with pytest.raises(ProjectError):
        read_agreements(Project.open(project))


def test_rounds_without_common_verified_voxels(tmp_path, files, command):
    folder = tmp_path / "other"
    command("init", folder)
    command("add", folder, files["image"], "--name", "s")
    command("bootstrap", folder, "--segmenter", "classical")
    with pytest.raises(NothingToDoError, match="nothing of s is verified both in round 0"):
        agree_rounds(Project.open(folder), "s", (0, 0), Silent())
    assert issubclass(NothingToDoError, HitlError)
