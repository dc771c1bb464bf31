"""Predictions of fields beyond the limit: the same labels, and never the whole image at once."""

from __future__ import annotations

import faulthandler
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from annotations.formats import open_image, read_labels
from annotations.planes import ImageOfTime
from hitl.labelling.propose import propose
from hitl.prediction import blockwise
from hitl.prediction.predict import cached_prediction, predict
from hitl.prediction.predictor import Predictor
from hitl.project.config import PredictionConfig
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from labels.progress import Progress, no_progress
from models.base import BlockSegmentation, BlockSegmenter, Segmentation
from models.registry import MODELS, ModelSpec
from tests.annotations.store_sources import SPACING_UM, ArraySource
from tests.hitl.fake_model import BRIGHT, SHAPE, Bench, make_bench
from tests.models.stardist3d.tiny_stardist import write_tiny_run

ROUGH = (6, 24, 220)


@dataclass(frozen=True, kw_only=True)
class LatticeSegmenter:
    """Bright voxels of one cell of the scene's lattice are one object, in a box as in a field."""

    name = "lattice"

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}

    def segment(
        self,
        image: NDArray[Any],
        spacing_um: tuple[float, float, float],
        *,
        progress: Progress = no_progress,
    ) -> Segmentation:
        labels = _bright(image[0], 0)
        ids = np.unique(labels)[1:]
        number = np.zeros(int(ids.max(initial=0)) + 1, np.uint32)
        number[ids] = np.arange(1, len(ids) + 1)
        return Segmentation(number[labels], dict.fromkeys(range(1, len(ids) + 1), 0.5))


@dataclass(frozen=True, kw_only=True)
class LatticeBlocks(LatticeSegmenter):
    """The same, three slices at a time."""

    def segment_blocks(
        self,
        source: Any,
        sink: Any,
        spacing_um: tuple[float, float, float],
        *,
        progress: Progress = no_progress,
    ) -> BlockSegmentation:
        ids: set[int] = set()
        for z in range(0, source.shape[1], 3):
            progress(z, source.shape[1], "looking")
            labels = _bright(source[0, z : z + 3, :, :], 0)
            sink[z : z + 3, :, :] = labels
            ids |= set(np.unique(labels).tolist())
        return BlockSegmentation(dict.fromkeys(sorted(ids - {0}), 0.5), ("looked box by box",))


def _bright(image: NDArray[Any], first: int) -> NDArray[np.uint32]:
    # Ids with gaps, so that a file with dense ones shows that they were numbered anew.
    _, y, x = np.indices(image.shape) // 9
    return np.where(image > BRIGHT, 5 + 3 * (y * 7 + x), first).astype(np.uint32)


def load_blocks(folder: Path) -> LatticeBlocks:
    return LatticeBlocks()


def load_whole(folder: Path) -> LatticeSegmenter:
    return LatticeSegmenter()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = make_bench(tmp_path, monkeypatch)
    for name in ("blocks", "whole"):
        spec = ModelSpec(about=name, run=f"tests.hitl.prediction.test_blockwise:load_{name}")
        monkeypatch.setitem(MODELS, name, spec)
    made.add("learn", "train", labelled=False)
    return made


def counted_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the voxels of every read of the store's image; reading a whole one fails the test."""
    sizes: list[int] = []
    plain = ImageOfTime.__getitem__

    def counted(self: ImageOfTime, box: Any) -> NDArray[Any]:
        found = plain(self, box)
        sizes.append(found.size)
        return found

    monkeypatch.setattr(ImageOfTime, "__getitem__", counted)
    monkeypatch.setattr(
        "annotations.views.LabelsView.read_image", lambda self: pytest.fail("read whole")
    )
    return sizes


def run_of(bench: Bench, kind: str, *steps: dict[str, Any]) -> str:
    """A finished run of another kind than the bench's own."""
    name = bench.run("fake-0001")
    file = bench.project.run(name) / "config.yaml"
    config = {
        "model": kind,
        "options": {},
        "preprocess": {"nuclei": list(steps)},
        "validation_share": 0.2,
    }
    file.write_text(yaml.safe_dump(config))
    return name


def limited(project: Project, voxels: int) -> Project:
    config = project.config.model_copy(
        update={"prediction": PredictionConfig(whole_up_to_voxels=voxels)}
    )
    return replace(project, config=config)


def whole_labels(project: Project, run: str, output: Path) -> tuple[NDArray[np.uint32], int]:
    """What the path for small fields says; nothing of it is kept in the project."""
    done = predict(project, run, (), output, Silent())
    labels = read_labels(output / "learn.tif")
    for file in (project.folder / "predictions" / run).iterdir():
        file.unlink()
    return labels, done.objects["learn"]


def left_over(project: Project) -> list[Path]:
    return [path for path in (project.folder / "predictions").rglob("*") if not path.is_dir()]


@pytest.mark.parametrize(
    "steps", [(), ({"step": "to_uint8", "low": 1, "high": 99.5}, {"step": "median"})]
)
def test_a_large_field_gets_the_labels_of_a_small_one(
    bench: Bench,
    tmp_path: Path,
    steps: tuple[dict[str, Any], ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = run_of(bench, "blocks", *steps)
    expected, count = whole_labels(bench.project, run, tmp_path / "whole")
    reads = counted_reads(monkeypatch)
    assert count > 30
    monkeypatch.setattr("hitl.preprocess.streaming.SLICES", 4)
    steps_told = []
    reporter = Silent()
    monkeypatch.setattr(reporter, "progress", lambda *call: steps_told.append(call[2]))
    project = limited(bench.project, int(np.prod(SHAPE)) - 1)
    done = predict(project, run, (), tmp_path / "out", reporter)
    np.testing.assert_array_equal(read_labels(tmp_path / "out" / "learn.tif"), expected)
    assert done.objects["learn"] == count == len(np.unique(read_labels(done.files["learn"]))) - 1
    assert 0 < max(reads) <= 4 * SHAPE[1] * SHAPE[2]
    assert "fake-0001, learn: looked box by box" in reporter.notes
    assert {"learn: looking", "learn: writing"} <= set(steps_told)
    assert sorted(path.name for path in left_over(project)) == ["learn.json", "learn.tif"]
    with open_image(tmp_path / "out" / "learn.tif") as file:
        assert file.info.spacing_um == pytest.approx(SPACING_UM)
        assert file.info.dtype == np.uint16


def test_at_the_limit_a_field_is_read_whole(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(bench, "blocks")
    monkeypatch.setattr(LatticeBlocks, "segment_blocks", lambda *_, **__: pytest.fail("box by box"))
    predict(limited(bench.project, int(np.prod(SHAPE))), run, (), None, Silent())


def test_an_equal_prediction_is_taken_again_and_read(bench: Bench, tmp_path: Path) -> None:
    run = run_of(bench, "blocks")
    project = limited(bench.project, 0)
    first = predict(project, run, (), None, Silent())
    about = project.folder / "predictions" / run / "learn.json"
    silent = Silent()
    again = predict(project, run, (), tmp_path / "copy", silent)
    assert again.objects == first.objects and silent.notes == []
    assert Path(again.files["learn"]).read_bytes() == Path(first.files["learn"]).read_bytes()
    assert json.loads(about.read_text())["objects"] == first.objects["learn"]
    predictor = Predictor(project, run, silent)
    labels = cached_prediction(project, predictor, project.store().labels("learn"))
    np.testing.assert_array_equal(labels, read_labels(first.files["learn"]))
    assert silent.notes == []


@pytest.mark.parametrize(
    ("kind", "steps", "why"),
    [
        ("whole", [], "lattice cannot segment box by box"),
        (
            "blocks",
            [{"step": "percentile_stretch"}],
            "the preprocessing step percentile_stretch takes percentiles of float32 voxels",
        ),
    ],
)
def test_what_must_be_read_whole_is_said(
    bench: Bench, kind: str, steps: list[dict[str, Any]], why: str
) -> None:
    image = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    bench.store.add_field("floats", ArraySource(255 * image[None]), split="train")
    run, silent = run_of(bench, kind, *steps), Silent()
    predict(limited(bench.project, 100), run, ("floats",), None, silent)
    assert silent.notes == [
        "floats: all 43,200 voxels are read into memory, though they are more than "
        f"prediction.whole_up_to_voxels: {why}"
    ]


def test_the_bootstrap_says_that_it_reads_whole_fields(bench: Bench) -> None:
    silent = Silent()
    predict(limited(bench.project, 100), "bootstrap", (), None, silent)
    assert any("only trained runs can segment box by box" in note for note in silent.notes)


@pytest.mark.parametrize("at", ["measuring", "preprocessing", "looking", "writing"])
def test_an_interruption_leaves_nothing(bench: Bench, tmp_path: Path, at: str) -> None:
    run = run_of(bench, "blocks", {"step": "to_uint8"})
    project = limited(bench.project, 0)
    with pytest.raises(KeyboardInterrupt):
        predict(project, run, (), tmp_path / "out", cancelled(at))
    assert left_over(project) == [] and not list((tmp_path).glob("out/*"))
    folder = project.folder / "predictions" / run
    assert list(folder.iterdir()) == []


def test_an_interrupted_copy_leaves_nothing(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(blockwise.shutil, "copyfile", half)
    with pytest.raises(KeyboardInterrupt):
        predict(bench.project, run_of(bench, "blocks"), (), tmp_path / "out", Silent())
    assert list((tmp_path / "out").iterdir()) == []


def test_proposals_are_the_same(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = counted_reads(monkeypatch)
    run = run_of(bench, "blocks", {"step": "to_uint8"})
    done = propose(limited(bench.project, 0), run, (), Silent())
    labels = np.asarray(bench.project.store().labels("learn").labels[...])
    image = np.asarray(bench.project.store().labels("learn").image[0])
    np.testing.assert_array_equal(labels > 0, image > BRIGHT)
    assert done.fields[0].added == len(np.unique(labels)) - 1 > 30
    assert reads and not list(bench.project.folder.glob(".blocks*"))


def cancelled(at: str) -> Silent:
    """A reporter whose progress is interrupted in the middle of a step."""

    class Cancelling(Silent):
        def progress(self, done: int, total: int, what: str) -> None:
            if at in what and done >= total // 2:
                raise KeyboardInterrupt

    return Cancelling()


# A real StarDist ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stardist_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a StarDist run whose tiny network is not trained."""
    folder = tmp_path_factory.mktemp("stardist")
    write_tiny_run(folder)
    return folder


@pytest.fixture
def stardist(
    bench: Bench, stardist_files: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[int], Project]]:
    """A project with an untrained StarDist run and noise, tiles being small."""
    from models.stardist3d import blocks, samples
    from models.stardist3d.segmenter import StarDist3DSegmenter

    faulthandler.dump_traceback_later(120, exit=True)
    folder = bench.project.run(run_of(bench, "stardist3d"))
    for file in stardist_files.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    noise = np.random.default_rng(0).integers(0, 1000, (1, *ROUGH)).astype(np.uint16)
    bench.store.add_field("rough", ArraySource(noise), split="test")
    monkeypatch.setattr(samples, "_PERCENTILE_VOXELS", 2**10)
    monkeypatch.setattr(blocks, "CHECKED_BOX", (4, 16, 32))
    small = partialmethod(StarDist3DSegmenter.segment_blocks, tile_voxels=2**13)
    monkeypatch.setattr(StarDist3DSegmenter, "segment_blocks", small)
    yield lambda voxels: limited(bench.project, voxels)
    faulthandler.cancel_dump_traceback_later()


def test_stardist_in_a_project(
    stardist: Callable[[int], Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = stardist(2**27)
    predict(project, "fake-0001", ("rough",), tmp_path / "whole", Silent())
    expected = read_labels(tmp_path / "whole" / "rough.tif")
    (project.folder / "predictions" / "fake-0001" / "rough.json").unlink()
    reads = counted_reads(monkeypatch)
    done = predict(stardist(100), "fake-0001", ("rough",), tmp_path / "out", Silent())
    found = read_labels(tmp_path / "out" / "rough.tif")
    assert done.objects["rough"] == len(np.unique(expected)) - 1 > 5
    assert np.mean(found == expected) > 0.999
    assert len(reads) > 5 and max(reads) < 0.5 * np.prod(ROUGH)


@pytest.mark.parametrize("at", ["reading", "predicting", "drawing"])
def test_stardist_interrupted_leaves_nothing(
    stardist: Callable[[int], Project], tmp_path: Path, at: str
) -> None:
    project = stardist(100)
    with pytest.raises(KeyboardInterrupt):
        predict(project, "fake-0001", ("rough",), tmp_path / "out", cancelled(at))
    assert left_over(project) == []
    assert list((project.folder / "predictions" / "fake-0001").iterdir()) == []


def test_stardist_runs_say_what_they_can(stardist_files: Path) -> None:
    from models.stardist3d import load_run

    assert isinstance(load_run(stardist_files), BlockSegmenter)
    assert not isinstance(LatticeSegmenter(), BlockSegmenter)
