"""Training, the run folder, and the segmenter that it gives."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.curves import read_curves  # noqa: E402
from models.errors import (  # noqa: E402
    CheckpointError,
    TrainingMemoryError,
)
from models.registry import load_run  # noqa: E402
from models.tensors import WEIGHTS_FILE, read_tensors  # noqa: E402
from models.tiling import Tiling  # noqa: E402
from models.unet3d import UNet3DTrainer  # noqa: E402
from models.unet3d.instances import detection_f1  # noqa: E402
from tests.models.contract import TrainerContract  # noqa: E402
from tests.models.unet3d.volumes import SPACING, nuclei, sample  # noqa: E402

QUICK = UNet3DTrainer(
    features=(4, 8),
    patch_size=(12, 32, 32),
    epochs=4,
    steps_per_epoch=25,
    learning_rate=1e-2,
    precision="fp32",
    threads=1,
)
TINY = dataclasses.replace(QUICK, epochs=2, steps_per_epoch=3, patch_size=(4, 16, 16))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run-1"
    return folder, QUICK.train([sample("a", 0)], [sample("b", 1)], folder)


class TestContract(TrainerContract):
    model = "unet3d"
    learner = "models.unet3d.train:UNetLearner"

    @pytest.fixture(scope="class")
    @classmethod
    def trainer(cls):
        return dataclasses.replace(TINY, logger="csv")

    def weights(self, folder):
        found = read_tensors(folder / WEIGHTS_FILE)
        return [found[name].float().numpy() for name in sorted(found)]


def test_the_loss_falls_and_the_curves_say_so(run):
    folder, result = run
    curve = read_curves(folder)
    assert [row["epoch"] for row in curve] == [1, 2, 3, 4]
    assert curve[-1]["train_loss"] < 0.6 * curve[0]["train_loss"]
    assert curve[-1]["val_loss"] < 0.6 * curve[0]["val_loss"]
    assert curve[-1]["lr"] < 0.1 * curve[0]["lr"]
    assert set(curve[0]) >= {"val_f1_edge", "val_f1_nucleus", "val_f1_instances", "seconds"}
    assert result.epochs == 4
    assert result.weights == folder / "weights.safetensors"


def test_it_segments_a_volume_it_has_not_seen(run):
    folder, _ = run
    image, truth = nuclei(2)
    calls = []
    got = load_run("unet3d", folder).segment(
        image[None], SPACING, progress=lambda *call: calls.append(call)
    )
    assert got.labels.dtype == np.uint32
    assert detection_f1(truth, got.labels, np.ones(truth.shape, bool)) > 0.85
    assert got.probability.dtype == np.float32
    assert got.probability[truth > 0].mean() > 0.7 > 0.3 > got.probability[truth == 0].mean()
    assert set(got.confidence) == set(np.unique(got.labels)) - {0}
    assert all(0.5 < c <= 1 for c in got.confidence.values())
    assert calls[-1][0] == calls[-1][1] > 0


def test_another_voxel_size_is_resampled_and_told(run):
    folder, _ = run
    image, truth = nuclei(2)
    image, truth = (a.repeat(2, 1).repeat(2, 2) for a in (image, truth))
    got = load_run("unet3d", folder).segment(image[None], (2.0, 0.5, 0.5))
    assert got.labels.shape == image.shape
    assert detection_f1(truth, got.labels, np.ones(truth.shape, bool)) > 0.8
    assert any("resampled" in note for note in got.notes)


@pytest.mark.parametrize("shape", [(1, 40, 40), (3, 5, 7), (2, 100, 9)])
def test_volumes_of_odd_sizes(run, shape):
    image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    assert load_run("unet3d", run[0]).segment(image[None], SPACING).labels.shape == shape


def weights_after(folder, trainer=TINY, train=None):
    trainer.train([train or sample("a", 0)], [sample("b", 1)], folder)
    return (folder / "weights.safetensors").read_bytes()


def test_unknown_voxels_do_not_change_the_weights(tmp_path):
    mask = np.zeros((12, 48, 48), bool)
    mask[:, :, :24] = True
    one = sample("a", 0, mask=mask)
    other = dataclasses.replace(one, labels=np.where(mask, one.labels, 77).astype(np.uint32))
    assert weights_after(tmp_path / "a", train=one) == weights_after(tmp_path / "b", train=other)


@pytest.mark.parametrize("loss", ["focal", "iou", "tversky", "dice", "bce_dice", "binary_focal"])
def test_every_loss_and_norm_trains(tmp_path, loss):
    trainer = dataclasses.replace(TINY, loss=loss, gap_weighting=True, norm="batch", epochs=1)
    trainer.train([sample("a", 0)], [], tmp_path)
    assert np.isfinite(read_curves(tmp_path)[0]["train_loss"])


def test_a_batch_that_does_not_fit_goes_patch_by_patch(tmp_path, monkeypatch):
    from models.unet3d.train import UNetLearner

    loss, sizes = UNetLearner.loss, []

    def scarce(self, part, whole):
        sizes.append(len(part))
        if len(part) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried …")
        return loss(self, part, whole)

    monkeypatch.setattr(UNetLearner, "loss", scarce)
    result = dataclasses.replace(TINY, epochs=1).train([sample("a", 0)], [sample("b", 1)], tmp_path)
    assert sizes == [2, 1, 1, 1, 1, 1, 1]
    assert any("1 patch at a time" in note for note in result.notes)


def test_a_patch_that_does_not_fit_is_an_error_that_says_so(tmp_path, monkeypatch):
    from models.unet3d.train import UNetLearner

    def none(*_):
        raise MemoryError

    monkeypatch.setattr(UNetLearner, "loss", none)
    with pytest.raises(TrainingMemoryError, match="smaller patch_size"):
        TINY.train([sample("a", 0)], [sample("b", 1)], tmp_path)


def test_normalisation_is_frozen_part_way(tmp_path):
    def frozen(freeze_at, folder):
        dataclasses.replace(TINY, freeze_at=freeze_at).train(
            [sample("a", 0)], [sample("b", 1)], folder
        )
        run = load_run("unet3d", folder)
        return run, {
            bool(m.frozen) for m in run.predictor.network.modules() if hasattr(m, "frozen")
        }

    never, flags = frozen(1.0, tmp_path / "never")
    assert flags == {False}
    always, flags = frozen(0.0, tmp_path / "always")
    assert flags == {True}
    # Frozen, a tile's result does not depend on what else is in the tile.
    image = np.random.default_rng(0).random((1, 8, 64, 64), np.float32)
    other = image.copy()
    other[..., 48:] += 2
    for run, same in ((always, True), (never, False)):
        whole = Tiling(tile=image.shape[1:])
        maps = [run.predictor.maps(one, whole)[..., :8] for one in (image, other)]
        assert np.allclose(*maps, atol=1e-5) == same


def test_without_validation_the_notes_say_so(tmp_path):
    result = TINY.train([sample("a", 0)], [], tmp_path)
    assert any("training stacks" in note for note in result.notes)


def test_a_patch_larger_than_the_stack_is_told(tmp_path):
    trainer = dataclasses.replace(TINY, patch_size=(64, 64, 64), epochs=1)
    result = trainer.train([sample("a", 0)], [], tmp_path)
    assert any("patch_size (64, 64, 64) became (12, 48, 48)" in note for note in result.notes)


def test_starting_from_another_run(run, tmp_path):
    folder, _ = run
    trainer = dataclasses.replace(QUICK, epochs=1, steps_per_epoch=1, base_run=str(folder))
    result = trainer.train([sample("a", 3)], [sample("b", 1)], tmp_path)
    assert result.base.startswith("run-1 (")
    base, tuned = read_curves(tmp_path)
    assert base["epoch"] == 0 and "train_loss" not in base
    assert tuned["val_loss"] < 0.6 * read_curves(folder)[0]["val_loss"]
    # Judged as every run is, whatever its classes weigh in what it learns from.
    other = dataclasses.replace(trainer, class_weights=(1.0, 0.0, 1.0))
    other.train([sample("a", 3)], [sample("b", 1)], tmp_path / "other")
    assert read_curves(tmp_path / "other")[0]["val_loss"] == base["val_loss"]
    wide = dataclasses.replace(trainer, features=(8, 16))
    told = wide.train([sample("a", 3)], [], tmp_path / "wide").notes
    assert any("those of run-1" in note for note in told)
    assert load_run("unet3d", tmp_path / "wide").run.architecture.features == (4, 8)


def test_a_base_that_finds_more_objects_is_kept_in_the_end(run, tmp_path, monkeypatch):
    from models.unet3d.validation import Validation

    folder, _ = run
    # An epoch that is better by all that it is judged by, and finds nothing with its thresholds.
    monkeypatch.setattr(Validation, "score", property(lambda self: self.loss))
    wild = dataclasses.replace(QUICK, epochs=1, steps_per_epoch=2, learning_rate=50.0)
    trainer = dataclasses.replace(wild, base_run=str(folder))
    result = trainer.train([sample("a", 3)], [sample("b", 1)], tmp_path)
    assert result.best_epoch == 0 and result.validation["f1_instances"] > 0.8
    one, two = (json.loads((path / "model.json").read_text()) for path in (folder, tmp_path))
    for key in ("weights_sha256", "instances"):
        assert one[key] == two[key]
    assert two["epoch"] == 0
    again = dataclasses.replace(trainer, epochs=2).train(
        [sample("a", 3)], [sample("b", 1)], tmp_path
    )
    assert "continued after epoch 1" in again.notes and again.epochs == 2


def damaged(run, tmp_path, name, change):
    folder = tmp_path / "damaged"
    shutil.copytree(run[0], folder)
    path = folder / name
    change(path)
    return folder


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("model.json", lambda p: p.unlink(), "expected the description"),
        ("model.json", lambda p: p.write_text("{"), "expected JSON"),
        ("model.json", lambda p: p.write_text('{"model": "stardist3d"}'), "another kind of run"),
        ("weights.safetensors", lambda p: p.unlink(), "expected weights"),
        ("weights.safetensors", lambda p: p.write_bytes(p.read_bytes()[:-9]), "sha256"),
    ],
)
def test_a_damaged_run_is_refused(run, tmp_path, name, change, message):
    with pytest.raises(CheckpointError, match=message):
        load_run("unet3d", damaged(run, tmp_path, name, change))


def test_weights_of_another_architecture_are_refused(run, tmp_path):
    def change(path):
        data = json.loads(path.read_text())
        data["architecture"]["features"] = [8, 16]
        path.write_text(json.dumps(data))

    with pytest.raises(CheckpointError, match="architecture"):
        load_run("unet3d", damaged(run, tmp_path, "model.json", change))


def test_nothing_in_a_run_folder_is_pickled(run):
    files = {p.suffix for p in run[0].iterdir() if p.is_file()}
    assert files == {".json", ".csv", ".safetensors"}
    assert all(p.name.startswith("events.out") for p in (run[0] / "tensorboard").iterdir())
