"""The shipped model: its sizes, its weights, what it finds, and training that starts from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.base import TrainingSample
from models.objects import (
    NOMINAL_DIAMETER,
    median_diameter,
    spacing_for,
)
from models.registry import segmenter_class
from models.runfolder import starter_folder
from models.starter import StarterSegmenter
from models.starter.segmenter import find_diameter
from models.synthetic import NucleiGenerator
from models.unet3d import UNet3DTrainer, load_run
from models.unet3d.checkpoint import read_run
from models.unet3d.instances import detection_f1
from models.unet3d.plan import own_instances
from tests.models.contract import SegmenterContract

GENERATOR = NucleiGenerator(
    shape=(20, 72, 72), spacing_um=(2.0, 1.0, 1.0), diameter_um=13.0, nuclei=22, photons=80.0
)


def f1(truth: NDArray[Any], found: NDArray[Any]) -> float:
    """F1 at IoU 0.5, everything known."""
    return detection_f1(truth, found, np.ones(truth.shape, bool))


class TestContract(SegmenterContract):
    @pytest.fixture(scope="class")
    @classmethod
    def segmenter(cls) -> Any:
        return segmenter_class("starter")(diameter_um=12.0)


def test_the_shipped_weights_are_small_and_what_their_card_says() -> None:
    folder = starter_folder("unet3d")
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert size < 3_000_000
    card = json.loads((folder / "model.json").read_text())
    assert card["nominal_diameter"] == NOMINAL_DIAMETER
    assert card["about"]["trained_on"].startswith("synthetic")
    run = load_run(folder)
    assert run.describe()["weights_sha256"] == card["weights_sha256"]


def test_as_a_base_it_drops_objects_of_as_few_voxels_whatever_their_size_in_um() -> None:
    starter = read_run(starter_folder("unet3d"))
    least = starter.settings.instances.min_volume_um3 / np.prod(starter.settings.spacing_um)
    spacing = spacing_for(2.8)
    own = own_instances(starter, spacing)
    assert own.min_volume_um3 / np.prod(spacing) == pytest.approx(least) and least > 1
    assert own.foreground == starter.settings.instances.foreground


def test_it_finds_synthetic_nuclei_it_has_not_seen() -> None:
    stack = GENERATOR.make(seed=424242)
    found = StarterSegmenter().segment(stack.image[None], stack.spacing_um)
    assert f1(stack.labels, found.labels) > 0.75
    assert set(found.confidence) == set(np.unique(found.labels)) - {0}
    assert found.probability is not None and found.probability.shape == stack.image.shape
    assert "nuclei of about" in found.notes[0]


def test_only_the_size_in_voxels_matters() -> None:
    stack = GENERATOR.make(seed=7)
    one = StarterSegmenter(diameter_um=13.0).segment(stack.image[None], stack.spacing_um)
    z, y, x = (3 * s for s in stack.spacing_um)
    other = StarterSegmenter(diameter_um=39.0).segment(stack.image[None], (z, y, x))
    np.testing.assert_array_equal(one.labels, other.labels)


def test_a_given_threshold_is_used() -> None:
    stack = GENERATOR.make(seed=7)
    strict = StarterSegmenter(diameter_um=13.0, foreground=0.95)
    usual = StarterSegmenter(diameter_um=13.0).segment(stack.image[None], stack.spacing_um)
    fewer = strict.segment(stack.image[None], stack.spacing_um)
    assert 0 < (fewer.labels > 0).sum() < (usual.labels > 0).sum()


def test_noise_has_no_nuclei_and_the_guess_is_told() -> None:
    noise = np.random.default_rng(0).normal(100, 5, (12, 48, 48))
    diameter, note = find_diameter(noise, (2.0, 0.5, 0.5))
    assert diameter == pytest.approx(7.0) and "were assumed" in note


@pytest.mark.parametrize("name, floor", [("gonuclear_1136", 0.6), ("qcanet_16cell", 0.9)])
def test_it_finds_real_nuclei_though_it_has_seen_none(
    name: str, floor: float, real_stack: Any
) -> None:
    image, labels, spacing = real_stack(name)
    found = segmenter_class("starter")().segment(image[None], spacing)
    assert f1(labels, found.labels) > floor


def sample(spacing: tuple[float, float, float]) -> TrainingSample:
    """One synthetic stack as a training sample at a voxel size that is said to be `spacing`."""
    stack = GENERATOR.make(seed=5)
    return TrainingSample(
        "drawn", stack.image[None], stack.labels, np.ones(stack.labels.shape, bool), spacing
    )


@pytest.mark.slow
def test_training_starts_from_it_at_its_own_size(tmp_path: Path) -> None:
    trainer = UNet3DTrainer(
        base_run="starter", epochs=1, steps_per_epoch=1, patch_size=(8, 32, 32), threads=1,
        logger="csv", learning_rate=1e-5,
    )  # fmt: skip
    one = sample((2.0, 1.0, 1.0))
    result = trainer.train([one], [one], tmp_path / "run")
    assert result.base.startswith("unet3d (")
    assert any("brought to the size that the base knows" in note for note in result.notes)
    run = load_run(tmp_path / "run")
    shipped = load_run(starter_folder("unet3d"))
    assert run.run.architecture == shipped.run.architecture
    diameter = median_diameter(one.labels, one.spacing_um)
    assert diameter is not None
    assert run.run.settings.spacing_um == pytest.approx(spacing_for(diameter))
    # One step at a tiny rate: what was learned before is still there.
    assert f1(one.labels, run.segment(one.image, one.spacing_um).labels) > 0.6
