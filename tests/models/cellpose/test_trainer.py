"""Fine-tuning Cellpose-SAM: true widths, two of its 24 blocks."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from labels.progress import no_progress
from models.base import TrainingSample
from models.cellpose import CellposeSegmenter, CellposeTrainer, finetune, load_run
from models.errors import (
    CheckpointError,
    ModelError,
    TrainingDataError,
)
from tests.models.cellpose.checkpoint_file import (
    cut_architecture,
    whole_architecture,
    write_checkpoint,
)
from tests.models.contract import TrainerContract

pytestmark = pytest.mark.slow

SPACING = (1.0, 0.5, 0.5)
QUICK: dict[str, Any] = {
    "trainable": "neck", "epochs": 2, "tiles_per_epoch": 2, "batch_size": 2, "validation_tiles": 2,
    "learning_rate": 1e-3, "logger": "csv", "views": ("xy",),
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Weights of a network with two blocks; Cellpose builds such networks meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        cut_architecture(patch)
        path = tmp_path_factory.mktemp("base") / "own.pth"
        write_checkpoint(path)
        yield path
    whole_architecture()


@cache
def balls() -> TrainingSample:
    """Four bright balls; the far end in x is not verified and full of nonsense labels."""
    z, y, x = np.indices((4, 48, 64))
    labels = np.zeros(z.shape, np.uint32)
    for label, (cy, cx) in enumerate([(12, 12), (36, 14), (14, 38), (35, 40)], start=1):
        labels[((z - 1.5) * 2) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 <= 49] = label
    noise = np.random.default_rng(0).normal(0, 30, z.shape)
    image = (200 + 800 * (labels > 0) + noise).clip(0).astype(np.uint16)
    mask = x < 52
    return TrainingSample("balls", image[None], np.where(mask, labels, 99), mask, SPACING)


@pytest.fixture(scope="module")
def sample() -> TrainingSample:
    return balls()


@pytest.fixture(scope="module")
def run(base: Path, sample: TrainingSample, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("run") / "cellpose-1"
    trainer = CellposeTrainer(model=str(base), **QUICK)
    return folder, trainer.train([sample], [sample], folder)


class TestContract(TrainerContract):
    model = "cellpose"
    learner = "models.cellpose.finetune:CellposeLearner"
    always_from_base = True
    steps_per_epoch = 1
    most_channels = 3
    image = balls().image[:, 1:3]

    @pytest.fixture(scope="class")
    @classmethod
    def trainer(cls, base: Path) -> CellposeTrainer:
        return CellposeTrainer(model=str(base), **QUICK)

    @pytest.fixture(scope="class")
    @classmethod
    def finished(cls, run: Any) -> Any:
        return run

    @classmethod
    def data(cls) -> tuple[list[TrainingSample], list[TrainingSample]]:
        return [balls()], [balls()]

    def weights(self, folder: Path) -> list[Any]:
        return [array.numpy() for array in tensors(folder).values()]


def curve(folder: Path) -> list[list[str]]:
    with (folder / "curves.csv").open(newline="") as file:
        return [
            [row[k] for k in ("epoch", "train_loss", "val_loss")] for row in csv.DictReader(file)
        ]


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(folder / "weights.pth", weights_only=True)
    return found


def test_tuning_lowers_the_loss_and_leaves_a_run(
    run: Any, base: Path, sample: TrainingSample
) -> None:
    folder, result = run
    assert result.validation["loss"] < float(curve(folder)[0][2])
    assert result.epochs == 2 and result.best_epoch in (1, 2)
    assert result.weights == folder / "weights.pth"
    assert "own.pth" in result.licence and "CC-BY-NC" in result.licence
    assert str(base) in result.base and len(curve(folder)) == 3
    before, after = torch.load(base, weights_only=True), tensors(folder)
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed and all(n.startswith(("encoder.neck", "out.")) for n in changed)
    segmenter = load_run(folder)
    assert isinstance(segmenter, CellposeSegmenter)
    found = segmenter.segment(sample.image, SPACING)
    assert found.labels.shape == sample.labels.shape
    said = json.loads((folder / "model.json").read_text())
    assert segmenter.describe()["weights_sha256"] == said["weights_sha256"]


def test_labels_outside_the_mask_change_nothing(
    run: Any, base: Path, sample: TrainingSample, tmp_path: Path
) -> None:
    folder, _ = run
    other = replace(sample, labels=np.where(sample.mask, sample.labels, 0).astype(np.uint32))
    trainer = CellposeTrainer(model=str(base), **QUICK)
    trainer.train([other], [other], tmp_path)
    assert curve(tmp_path) == curve(folder)
    one, two = tensors(folder), tensors(tmp_path)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_full_memory_means_fewer_tiles_at_a_time(
    run: Any, base: Path, sample: TrainingSample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = run
    logits = finetune.Tunable.logits

    def small(self: Any, image: torch.Tensor, training: bool) -> torch.Tensor:
        if training and len(image) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return logits(self, image, training)

    monkeypatch.setattr(finetune.Tunable, "logits", small)
    result = CellposeTrainer(model=str(base), **QUICK).train([sample], [sample], tmp_path)
    assert any("1 tile at a time, 2 per step" in note for note in result.notes)
    found, wanted = (np.array(curve(f))[1:].astype(float) for f in (tmp_path, folder))
    np.testing.assert_allclose(found, wanted, rtol=2e-2)
    monkeypatch.setattr(
        finetune.Tunable, "logits", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("full"))
    )
    with pytest.raises(ModelError, match="set trainable=neck"):
        CellposeTrainer(model=str(base), **QUICK).train([sample], [sample], tmp_path / "b")


def test_all_weights_can_be_tuned_from_an_earlier_run(
    run: Any, sample: TrainingSample, tmp_path: Path
) -> None:
    folder, first = run
    options = QUICK | {"trainable": "all", "epochs": 1, "batch_size": 1, "tiles_per_epoch": 1}
    result = CellposeTrainer(base_run=str(folder), **options).train([sample], [], tmp_path)
    assert result.licence == first.licence and result.base.startswith("cellpose-1 (")
    assert any("chosen on the training" in note for note in result.notes)
    assert any("all weights" in note for note in result.notes)
    last = load_file(tmp_path / "last.safetensors")
    before = tensors(folder)
    weights = {k.removeprefix("network."): v for k, v in last.items() if k.startswith("network.")}
    moved = [k for k in weights if not torch.equal(weights[k], before[k])]
    assert any("blocks.1" in k for k in moved) and "W2" not in weights


def test_no_object_that_counts(base: Path, sample: TrainingSample, tmp_path: Path) -> None:
    nothing = replace(sample, mask=np.zeros_like(sample.mask))
    with pytest.raises(TrainingDataError, match="got none in 1 training stack"):
        CellposeTrainer(model=str(base), **QUICK).train([nothing], [sample], tmp_path)
    with pytest.raises(TrainingDataError, match="lower min_objects"):
        CellposeTrainer(model=str(base), min_objects=9, **QUICK).train([sample], [], tmp_path)


def test_weights_of_another_architecture(sample: TrainingSample, tmp_path: Path) -> None:
    torch.save({"downsample.0.weight": torch.zeros(2)}, tmp_path / "cyto3")
    trainer = CellposeTrainer(model=str(tmp_path / "cyto3"), **QUICK)
    with pytest.raises(CheckpointError, match="Cellpose 3"):
        trainer.train([sample], [sample], tmp_path / "run")


def test_damaged_runs_are_refused(run: Any, tmp_path: Path) -> None:
    folder, _ = run
    with pytest.raises(CheckpointError, match="got none"):
        load_run(tmp_path)
    (tmp_path / "model.json").write_text((folder / "model.json").read_text())
    with pytest.raises(CheckpointError, match="expected weights, got none"):
        load_run(tmp_path)
    (tmp_path / "weights.pth").write_bytes((folder / "weights.pth").read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="sha256"):
        load_run(tmp_path)
    (tmp_path / "model.json").write_text('{"model": "unet3d"}')
    with pytest.raises(CheckpointError, match="another kind of run"):
        load_run(tmp_path)


def test_percentiles_are_checked() -> None:
    with pytest.raises(ModelError, match="percentiles"):
        CellposeTrainer(percentiles=(99.0, 1.0))
    assert no_progress(0, 1, "") is None
