"""StarDist in 2D: its targets are StarDist's own, it learns slices, and finds objects in stacks."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.base import TrainingResult, TrainingSample
from models.errors import CheckpointError, TrainingDataError
from models.stardist2d import StarDist2DTrainer, load_run
from models.stardist3d import load_run as load_3d
from models.stardist3d.batches import PatchCutter
from models.stardist3d.runtime import import_stardist
from models.stardist3d.samples import PreparedStack, hide_unverified
from tests.models.smp2d.cells import SPACING, cells

QUICK: dict[str, Any] = {
    "n_rays": 16,
    "unet_n_depth": 1,
    "unet_n_filter_base": 8,
    "net_conv_after": 16,
    "object_voxels": None,
    "batch_size": 4,
    "steps_per_epoch": 8,
    "learning_rate": 3e-3,
    "logger": "csv",
}


@pytest.fixture(autouse=True)
def watchdog() -> Iterator[None]:
    """End the process should StarDist's C++ hang, which no signal handler could interrupt."""
    faulthandler.dump_traceback_later(240, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def sample(seed: int = 0, depth: int = 1) -> TrainingSample:
    image, nuclei, _ = cells(seed, depth=depth, channels=1)
    return TrainingSample(f"cells{seed}", image, nuclei, np.ones(nuclei.shape, bool), SPACING)


def train(folder: Path, given: list[TrainingSample], **options: Any) -> TrainingResult:
    return StarDist2DTrainer(**{**QUICK, **options}).train(given, given, folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned from a stack of two slices and an image."""
    folder = tmp_path_factory.mktemp("run")
    train(folder, [sample(0, depth=2), sample(1)], epochs=8)
    return folder


def test_it_finds_what_is_in_an_image_and_one_id_through_a_stack(run: Path) -> None:
    segmenter = load_run(run)
    image, nuclei, _ = cells(7, channels=1)
    found = segmenter.segment(image, SPACING)
    assert found.labels.shape == nuclei.shape and set(found.confidence) == {1, 2, 3, 4}
    inside, truth = found.labels > 0, nuclei > 0
    assert 2 * (inside & truth).sum() / (inside.sum() + truth.sum()) > 0.7
    stack, *_ = cells(8, depth=3, channels=1)
    whole = segmenter.segment(stack, SPACING)
    assert np.array_equal(np.unique(whole.labels), range(5))
    assert all(len(np.unique(plane)) == 5 for plane in whole.labels)
    assert set(whole.confidence) == {1, 2, 3, 4} and max(whole.confidence.values()) <= 1
    fine = np.repeat(np.repeat(image, 2, 2), 2, 3)
    finer = segmenter.segment(fine, (2.0, 0.25, 0.25))
    assert finer.labels.shape == (1, 128, 128) and finer.labels.max() == 4
    assert any("are resampled" in note for note in finer.notes)
    assert segmenter.describe()["n_rays"] == 16


def test_targets_are_those_of_stardist() -> None:
    one = sample(3)
    stack = PreparedStack(
        "cells", one.image[0].astype(np.float32), hide_unverified(one.labels, one.mask)
    )
    config = type("Config", (), {"n_rays": 16, "grid": (1, 1)})
    targets = StarDist2DTrainer(**QUICK)._targets(config)
    cutter = PatchCutter([stack], (1, 64, 64), targets)
    images, (probability, distances) = cutter.batch([cutter.cut(cutter.upright(0, (0, 0, 0)))])
    assert images.shape == (1, 64, 64, 1) and distances.shape == (1, 64, 64, 17)
    stardist = import_stardist()
    labels = one.labels[0].astype(np.int32)
    np.testing.assert_allclose(probability[0, ..., 0], stardist.utils.edt_prob(labels), atol=1e-6)
    truth = stardist.geometry.star_dist(labels.astype(np.uint16), 16)
    inside = labels > 0
    off = (distances[0, ..., :-1] - truth)[inside]
    assert np.abs(off).max() < 0.6 and abs(off.mean()) < 0.05


def test_it_goes_on_from_where_it_was_and_from_a_base(run: Path, tmp_path: Path) -> None:
    given = [sample(0)]
    train(tmp_path / "cut", given, epochs=1, steps_per_epoch=2, patience=9)
    result = train(tmp_path / "cut", given, epochs=2, steps_per_epoch=2, patience=9)
    assert "continued after epoch 1" in result.notes
    based = train(tmp_path / "based", given, epochs=1, steps_per_epoch=1, base_run=str(run))
    assert based.base.startswith(f"{run.name} sha256:")


def test_what_does_not_go_is_refused_in_a_line(run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="expected a stardist3d run, got another kind"):
        load_3d(run)
    with pytest.raises(
        TrainingDataError, match="at least one object whose voxels are all verified"
    ):
        train(tmp_path, [replace(sample(), labels=np.zeros((1, 64, 64), np.uint32))])
    with pytest.raises(TrainingDataError, match="StarDist takes one channel, got 3"):
        train(tmp_path, [replace(sample(), image=cells(0)[0])])
