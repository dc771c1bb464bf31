"""What every segmenter and every trainer keeps: the tests of each inherit these classes.

A model's test module has a class of its own that says how its segmenter or its trainer is made,
and keeps no test of its own for what is tested here.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from labels.progress import Progress
from models.base import Segmenter, Trainer, TrainingResult, TrainingSample
from models.curves import read_curves
from models.errors import CheckpointError, ImageError, TrainingDataError, TrainingDivergedError
from models.learner import Judged, Step
from models.registry import MODELS, load_run, trainer_class
from models.training import STATE_FILE

SPACING = (2.0, 1.0, 1.0)
Finished = tuple[Path, TrainingResult]


def stack(name: str, seed: int = 0) -> TrainingSample:
    """Bright, noisy ellipsoids in an anisotropic stack, all of it known."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices((10, 40, 44))
    labels = np.zeros(z.shape, np.uint32)
    for label, (cy, cx) in enumerate([(10, 10), (11, 32), (29, 11), (30, 31)], start=3):
        cy, cx = cy + seed % 3, cx - seed % 2
        labels[((z - 4.5) / 3) ** 2 + ((y - cy) / 6) ** 2 + ((x - cx) / 6) ** 2 <= 1] = label
    image = (60 + 100 * (labels > 0) + rng.normal(0, 8, labels.shape)).clip(0, 255)
    mask = np.ones(labels.shape, bool)
    return TrainingSample(name, image.astype(np.uint8)[None], labels, mask, SPACING)


class Cancelled(BaseException):
    """As Ctrl+C is, not an Exception."""


class SegmenterContract:
    """What every segmenter keeps; `segmenter` is a fixture of the inheriting class."""

    image: ClassVar[NDArray[Any]] = stack("image", 2).image
    most_channels: ClassVar[int] = 1
    repeats: ClassVar[bool] = True
    """Whether it gives the same in every voxel when asked again."""

    def test_it_says_what_it_is(self, segmenter: Any) -> None:
        assert isinstance(segmenter, Segmenter)
        assert json.loads(json.dumps(segmenter.describe())) and segmenter.name

    def test_what_comes_out(self, segmenter: Any) -> None:
        given, calls = self.image.copy(), []
        found = segmenter.segment(given, SPACING, progress=lambda *call: calls.append(call))
        np.testing.assert_array_equal(given, self.image)
        assert found.labels.dtype == np.uint32 and found.labels.shape == given.shape[1:]
        assert found.confidence.keys() <= set(np.unique(found.labels).tolist()) - {0}
        assert all(0 <= value <= 1 for value in found.confidence.values())
        if found.probability is not None:
            assert found.probability.dtype == np.float32
            assert found.probability.shape == found.labels.shape
        assert calls and all(0 <= done <= total for done, total, _ in calls)
        again = segmenter.segment(self.image.astype(np.float32), SPACING)
        if self.repeats:
            np.testing.assert_array_equal(found.labels, again.labels)

    def test_images_that_it_cannot_take(self, segmenter: Any) -> None:
        good = self.image.astype(np.float32)
        spoilt = good.copy()
        for value in (np.nan, np.inf):
            spoilt[0, 0, 0, 0] = value
            with pytest.raises(ImageError, match="NaN or infinite"):
                segmenter.segment(spoilt.copy(), SPACING)
        for image, message in (
            (good[0], "channels of a stack"),
            (good[:, :0], "channels of a stack"),
            (np.full_like(good, 7), "every voxel has the value 7"),
            (np.repeat(good, self.most_channels + 1, 0), f"got {self.most_channels + 1}"),
        ):
            with pytest.raises(ImageError, match=message):
                segmenter.segment(image, SPACING)

    def test_it_can_be_cancelled(self, segmenter: Any) -> None:
        def cancel(*_: Any) -> None:
            raise Cancelled

        with pytest.raises(Cancelled):
            segmenter.segment(self.image, SPACING, progress=cancel)


class TrainerContract(SegmenterContract):
    """What every trainer keeps, and the segmenter of its runs.

    `trainer` is a fixture of the inheriting class: two epochs, curves as CSV.
    """

    model: ClassVar[str]
    learner: ClassVar[str]
    """Its learner's class, as ``"module:attribute"``."""
    steps_per_epoch: ClassVar[int] = 3
    always_from_base: ClassVar[bool] = False
    same_within: ClassVar[float] = 0.0
    """How far weights may be apart that are to be the same."""

    @classmethod
    def data(cls) -> tuple[list[TrainingSample], list[TrainingSample]]:
        """What to learn from, and what to judge on."""
        return [stack("a")], [stack("b", 1)]

    def weights(self, folder: Path) -> list[NDArray[Any]]:
        """Return the weights that a run holds."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def finished(cls, trainer: Any, tmp_path_factory: pytest.TempPathFactory) -> Finished:
        folder = tmp_path_factory.mktemp("run") / f"{cls.model}-1"
        return folder, trainer.train(*cls.data(), folder)

    @pytest.fixture(scope="class")
    @classmethod
    def segmenter(cls, finished: Finished) -> Any:
        return load_run(cls.model, finished[0])

    def assert_same(self, one: Path, other: Path) -> None:
        pairs = zip(self.weights(one), self.weights(other), strict=True)
        for a, b in pairs:
            np.testing.assert_allclose(a, b, rtol=0, atol=self.same_within)

    def patched(self, monkeypatch: pytest.MonkeyPatch, name: str, function: Any) -> Any:
        """Replace a method of the learner; return the one that it had."""
        module, attribute = self.learner.split(":")
        kind = getattr(importlib.import_module(module), attribute)
        plain = getattr(kind, name)
        monkeypatch.setattr(kind, name, function)
        return plain

    def test_its_options_are_those_of_every_trainer(self, trainer: Any) -> None:
        assert isinstance(trainer, Trainer)
        if self.model in MODELS:
            assert isinstance(trainer, trainer_class(self.model))
        defaults = {field.name: field.default for field in fields(type(trainer))}
        assert defaults.keys() >= {"epochs", "logger", "seed", "base_run"}
        assert defaults["patience"] is None and defaults["max_minutes"] is None

    def test_what_a_run_leaves(self, finished: Finished) -> None:
        folder, result = finished
        assert result.weights.parent == folder and result.weights.is_file()
        assert (folder / STATE_FILE).is_file()
        said = json.loads((folder / "model.json").read_text())
        assert (said["model"], said["epoch"]) == (self.model, result.best_epoch)
        assert (result.epochs, result.steps) == (2, 2 * self.steps_per_epoch)
        rows = read_curves(folder)
        assert [row["epoch"] for row in rows] == [0, 1, 2][not self.always_from_base :]
        assert {"train_loss", "val_loss", "lr", "seconds"} <= rows[-1].keys()
        best = next(row for row in rows if row["epoch"] == result.best_epoch)
        assert result.validation["loss"] == pytest.approx(best["val_loss"], rel=1e-4)

    def test_interrupted_it_goes_on_to_the_same_weights(
        self, trainer: Any, finished: Finished, tmp_path: Path
    ) -> None:
        def cancel(done: int, total: int, doing: str) -> None:
            if doing == "training, epoch 2" and done + 1 == total:
                raise Cancelled

        with pytest.raises(Cancelled):
            trainer.train(*self.data(), tmp_path, progress=cancel)
        assert read_curves(tmp_path)[-1]["epoch"] == 1
        load_run(self.model, tmp_path)
        result = trainer.train(*self.data(), tmp_path)
        assert "continued after epoch 1" in result.notes
        assert (result.best_epoch, result.epochs) == (finished[1].best_epoch, 2)
        self.assert_same(tmp_path, finished[0])
        one, two = (
            [{**row, "seconds": 0.0} for row in read_curves(path)]
            for path in (tmp_path, finished[0])
        )
        for a, b in zip(one, two, strict=True):
            assert a == pytest.approx(b, rel=1e-4, abs=1e-6)
        with pytest.raises(CheckpointError, match="same data and options"):
            replace(trainer, seed=5).train(*self.data(), tmp_path)

    def test_with_no_time_at_all_one_step_leaves_a_run(self, trainer: Any, tmp_path: Path) -> None:
        result = replace(trainer, epochs=1000, max_minutes=1e-6).train(*self.data(), tmp_path)
        assert (result.steps, result.epochs, result.best_epoch) == (1, 1, 1)
        assert result.validation == {}
        (note,) = (note for note in result.notes if "max_minutes" in note)
        assert "no time was left to judge every epoch" in note
        assert load_run(self.model, tmp_path).describe()

    def test_divergence_is_told_and_the_best_stays(
        self, trainer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def wild(number: int, done: float, rate: float) -> Step:
            return Step(number, done, rate if number < self.steps_per_epoch else 1e30)

        monkeypatch.setattr("models.training.Step", wild)
        long = replace(trainer, epochs=8)
        with pytest.raises(TrainingDivergedError, match=r"of epoch.*lower learning_rate"):
            long.train(*self.data(), tmp_path)
        assert all(np.isfinite(array).all() for array in self.weights(tmp_path))
        assert load_run(self.model, tmp_path).describe()

    def test_a_base_that_nothing_is_better_than_is_kept(
        self, trainer: Any, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        judged: list[Judged] = []

        def worse_and_worse(learner: Any, progress: Progress) -> Judged:
            judged.append(plain(learner, progress))
            return replace(judged[-1], score=-len(judged))

        plain = self.patched(monkeypatch, "judge", worse_and_worse)
        tuning = replace(trainer, epochs=1, base_run=str(finished[0]))
        result = tuning.train(*self.data(), tmp_path / "run")
        assert (result.best_epoch, result.epochs, len(judged)) == (0, 1, 2)
        assert any("the run holds the base's weights" in note for note in result.notes)
        assert [row["epoch"] for row in read_curves(tmp_path / "run")] == [0, 1]
        assert judged[0].values["loss"] == pytest.approx(finished[1].validation["loss"], rel=1e-3)
        self.assert_same(tmp_path / "run", finished[0])

    def test_what_cannot_be_learned_from(self, trainer: Any, tmp_path: Path) -> None:
        train, val = self.data()
        one, folder = train[0], tmp_path / "run"
        unknown = replace(one, mask=np.zeros_like(one.mask))
        empty = replace(one, labels=np.zeros_like(one.labels))
        for nothing in ([], [unknown], [empty]):
            with pytest.raises(TrainingDataError):
                trainer.train(nothing, val, folder)
        for value, message in ((7.0, "every voxel has the value 7"), (np.nan, "NaN or infinite")):
            constant = replace(one, image=np.full(one.image.shape, value, np.float32))
            with pytest.raises(ImageError, match=message):
                trainer.train([constant], val, folder)
        assert not folder.exists()
