"""What a model may learn from, where fields have several classes and time points."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from annotations.fields import ClassInfo
from annotations.formats import write_image_tiff, write_labels_tiff
from hitl.cli import run
from hitl.project.errors import LeakageError, NothingToDoError
from hitl.project.reporter import Silent
from hitl.training.held_out import HELD_OUT, held_out_pixels
from hitl.training.preflight import told_first
from hitl.training.promote import promote
from hitl.training.samples import TrainingSet, collect_samples
from tests.annotations.store_sources import ArraySource, by_person, noise, proposed
from tests.hitl.class_fields import NAMES, TIMES, add_classes, add_series, class_scenes
from tests.hitl.fake_model import SHAPE, Bench, make_bench


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return make_bench(tmp_path, monkeypatch)


def collect(
    bench: Bench, *names: str, classes: tuple[str, ...] = (), said: Silent | None = None
) -> TrainingSet:
    store, config = bench.project.store(), bench.project.config
    return collect_samples(store, config, names, said or Silent(), classes)


# Classes and time points -------------------------------------------------------------------------


def test_one_model_learns_all_classes_of_objects(bench: Bench) -> None:
    add_classes(bench, "f1", "train")
    said = Silent()
    found = collect(bench, said=said)
    assert [sample.name for sample in found.train] == [f"f1:{name}" for name in sorted(NAMES)]
    assert found.classes == tuple(sorted(NAMES))
    assert any("trains one model on the classes g1, g2, nuclei" in note for note in said.notes)
    image, truth = class_scenes(0)
    for sample in found.train:
        number = NAMES.index(sample.name.removeprefix("f1:"))
        np.testing.assert_array_equal(sample.image, image[[number]])
        np.testing.assert_array_equal(sample.labels, truth[NAMES[number]])
    assert {(row["field"], row["class"], *row["times"]) for row in found.sources} == {
        ("f1", name, 0) for name in NAMES
    }
    only = collect(bench, classes=("g1",))
    assert (only.classes, [s.name for s in only.train]) == (("g1",), ["f1:g1"])
    assert [s.name for s in collect(bench, "f1:g2").train] == ["f1:g2"]


def test_each_class_and_time_point_has_its_own_part_held_out(bench: Bench) -> None:
    add_classes(bench, "f1", "train")
    add_series(bench, "movie", "train")
    found = collect(bench)
    assert [s.name for s in found.val] == [s.name + HELD_OUT for s in found.train]
    for learned, held_out in zip(found.train, found.val, strict=True):
        np.testing.assert_array_equal(learned.mask, ~held_out.mask)
        assert held_out.labels[held_out.mask].any()
    assert found.val_of == (
        *(("f1", name) for name in sorted(NAMES)), *[("movie", "nuclei")] * TIMES,
    )  # fmt: skip


def test_a_field_is_not_in_training_through_one_class_and_in_validation_through_another(
    bench: Bench,
) -> None:
    add_classes(bench, "f1", "train")
    add_classes(bench, "v1", "val", seed=20)
    found = collect(bench)
    assert {s.name.partition(":")[0] for s in found.train} == {"f1"}
    assert {s.name.partition(":")[0] for s in found.val} == {"v1"}
    # Named, a field of split val is learned from: none of its classes validates then.
    named = collect(bench, "f1", "v1:nuclei")
    assert [s.name for s in named.train] == [*(f"f1:{n}" for n in sorted(NAMES)), "v1:nuclei"]
    assert [s.name for s in named.val] == [s.name + HELD_OUT for s in named.train]


def test_time_points_of_which_nothing_is_verified_are_left_out(bench: Bench) -> None:
    add_series(bench, "movie", "train", labelled=False)
    _, truth = class_scenes(0)
    labels = np.zeros((TIMES * SHAPE[0], *SHAPE[1:]), np.uint32)
    labels[SHAPE[0] : 2 * SHAPE[0]] = truth["nuclei"]
    with bench.store.begin_round(by_person()) as round_:
        round_.set_labels("movie", labels, proposed(np.unique(labels)[1:].tolist()))
    found = collect(bench)
    assert [sample.name for sample in found.train] == ["movie t1"]
    assert found.sources[0]["times"] == [1]
    with bench.store.begin_round(by_person()) as round_:
        everywhere = (slice(2 * SHAPE[0], 3 * SHAPE[0]), slice(None), slice(None))
        round_.verify("movie", [(everywhere, np.ones(SHAPE, np.uint8))])
    verified = collect(bench)
    assert (verified.verified_only, [s.name for s in verified.train]) == (True, ["movie t2"])
    assert verified.sources[0]["times"] == [2]


def test_a_part_of_which_nothing_is_known_is_left_out(bench: Bench) -> None:
    """Of `b` only what is held out is verified."""
    bench.add("a", "train", labelled=True)
    bench.add("b", "train", labelled=False, seed=1)
    pixels = held_out_pixels(SHAPE[1:], bench.project.config.training.validation_share)
    everywhere = (slice(0, SHAPE[0]), slice(0, SHAPE[1]), slice(0, SHAPE[2]))
    with bench.store.begin_round(by_person()) as round_:
        one = tuple(np.argwhere(~pixels)[0])
        labels = np.zeros(SHAPE, np.uint32)
        labels[(0, *one)] = 1
        round_.set_labels("b", labels, proposed([1]))
        round_.verify("b", [(everywhere, np.broadcast_to(pixels, SHAPE).astype(np.uint8))])
    found = collect(bench)
    assert [sample.name for sample in found.train] == ["a"]
    assert [sample.name for sample in found.val] == ["a" + HELD_OUT, "b" + HELD_OUT]


def test_areas_are_learned_where_they_are_asked_for(bench: Bench) -> None:
    image, truth = class_scenes(0)
    classes = (ClassInfo(name="bone", kind="area", seen=(1,)), ClassInfo(name="nuclei"))
    area = (truth["g1"] > 0).astype(np.uint32)
    for name, split in (("f1", "train"), ("v1", "val")):
        bench.store.add_field(
            name,
            ArraySource(image + np.uint8(split == "val")),
            classes=classes,
            split=split,
            labels={"bone": area, "nuclei": truth["nuclei"]},
        )
    assert collect(bench).classes == ("nuclei",)
    for found in (collect(bench, classes=("bone",)), collect(bench, "f1:bone")):
        assert found.classes == ("bone",)
        assert [sample.name for sample in (*found.train, *found.val)] == ["f1:bone", "v1:bone"]


def test_classes_that_see_different_numbers_of_channels_are_refused(bench: Bench) -> None:
    image, truth = class_scenes(0)
    classes = (ClassInfo(name="cells", seen=(0, 1)), ClassInfo(name="nuclei"))
    labels = {"cells": truth["g1"], "nuclei": truth["nuclei"]}
    bench.store.add_field("f1", ArraySource(image), classes=classes, labels=labels)
    with pytest.raises(
        NothingToDoError, match=r"cells \(2\), nuclei \(1\); train a model for each"
    ):
        collect(bench)
    assert collect(bench, classes=("cells",)).train[0].image.shape[0] == 2


def test_the_card_says_fields_classes_times_and_channels(bench: Bench) -> None:
    add_classes(bench, "f1", "train")
    add_series(bench, "movie", "train")
    assert run(["train", str(bench.project.folder), "fake", "--json"]) == 0
    folder = bench.project.run("fake-0001")
    card = json.loads((folder / "card.json").read_text())
    assert (card["classes"], card["channels"]) == (sorted(NAMES), 1)
    rows = {(row["field"], row["class"]): row["times"] for row in card["trained_on"]}
    assert rows == {**{("f1", name): [0] for name in NAMES}, ("movie", "nuclei"): [0, 1, 2]}
    assert "| movie | nuclei | 0-2 | train |" in (folder / "MODEL_CARD.md").read_text()


# What must not leak ------------------------------------------------------------------------------


def test_one_channel_of_a_file_in_train_and_another_in_test_is_refused(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, truth = class_scenes(0)
    file, folder = tmp_path / "three.tif", bench.project.folder
    write_image_tiff(file, image, (2.0, 1.0, 1.0))
    write_labels_tiff(tmp_path / "labels.tif", truth["nuclei"], (2.0, 1.0, 1.0))
    labels = ["--labels", str(tmp_path / "labels.tif")]
    one = ["add", str(folder), str(file), "--field", "a", "--class", "nuclei=0", *labels]
    other = ["add", str(folder), str(file), "--field", "b", "--class", "g2=2", "--split", "test"]
    assert run(one) == run(other) == 0
    capsys.readouterr()
    for verb in (["train", str(folder), "fake"], ["sweep", str(folder), "fake", "--seeds", "0,1"]):
        assert run(verb) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert "field a comes from the same file as test field b" in error
    assert list(bench.project.runs_folder.glob("*")) == []


def test_a_channel_that_two_files_share_is_refused_whatever_it_is_called(bench: Bench) -> None:
    """The training field is seen in another channel than the one that the test field holds too."""
    image, truth = class_scenes(0)
    labels = {"nuclei": truth["nuclei"]}
    bench.store.add_field("a", ArraySource(image[:2]), labels=labels)
    swapped = ArraySource(np.stack([class_scenes(30)[0][2], image[1]]).astype(np.uint16))
    swapped.info = replace(swapped.info, channels=("x", "y"))
    seen = (ClassInfo(name="cells", seen=(0,)),)
    bench.store.add_field("b", swapped, classes=seen, split="test")
    with pytest.raises(LeakageError, match="a shares voxels with test field b"):
        collect(bench)


def test_a_time_point_of_a_test_series_is_refused(bench: Bench) -> None:
    frames = noise((3, *SHAPE))[:, None]
    bench.store.add_field("movie", ArraySource(frames), split="test")
    _, truth = class_scenes(0)
    bench.store.add_field("still", ArraySource(frames[2]), labels={"nuclei": truth["nuclei"]})
    with pytest.raises(LeakageError, match="still shares voxels with test field movie"):
        collect(bench)


def test_fields_of_one_file_are_refused_though_they_share_no_voxel(
    bench: Bench, tmp_path: Path
) -> None:
    file = tmp_path / "plate.npy"
    np.save(file, np.zeros(3))
    image, truth = class_scenes(0)
    labels = {"nuclei": truth["nuclei"]}
    bench.store.add_field("check", ArraySource(image[:1], file), labels=labels, split="val")
    bench.store.add_field("held", ArraySource(image[1:2], file), split="test")
    bench.add("learn", "train", labelled=True, seed=9)
    match = "field check comes from the same file as test field held"
    with pytest.raises(LeakageError, match=match):
        collect(bench)
    with pytest.raises(LeakageError, match=match):
        promote(bench.project, bench.run("fake-0001"), Silent())


def test_what_is_about_to_be_learned_is_told_first(bench: Bench) -> None:
    add_classes(bench, "f1", "train")
    found = collect(bench, classes=("g1",))
    (learned,), (judged,) = found.train, found.val
    counts = [len(np.unique(s.labels[s.mask])) - 1 for s in (learned, judged)]
    voxels = int(learned.mask.sum())
    share = np.count_nonzero(learned.labels[learned.mask]) / voxels
    assert told_first(found) == (
        f"learns {counts[0]} objects of 1 field: {voxels:,} voxels count, {share:.0%} of them in "
        f"objects; is judged on {counts[1]} objects in {int(judged.mask.sum()):,} voxels"
    )
