"""Several channels, and flat images, through the U-Net."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch")

from models.base import TrainingSample
from models.errors import ImageError, TrainingDataError
from models.registry import load_run
from models.unet3d.instances import detection_f1
from tests.models.unet3d.test_trainer import QUICK
from tests.models.unet3d.volumes import SPACING, nuclei, sample


def halves(name: str, seed: int) -> TrainingSample:
    """Every second nucleus is bright in one channel, the others in the other one."""
    image, labels = nuclei(seed)
    noise = np.random.default_rng(seed + 100).normal(60, 12, image.shape).clip(0, 255)
    even = (labels % 2 == 0) & (labels > 0)
    odd = labels % 2 == 1
    channels = [np.where(odd, noise, image), np.where(even, noise, image)]
    mask = np.ones(labels.shape, bool)
    return TrainingSample(name, np.stack(channels).astype(np.uint8), labels, mask, SPACING)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run-1"
    trainer = dataclasses.replace(QUICK, epochs=12)
    trainer.train([halves("a", 0), halves("d", 3)], [halves("b", 1)], folder)
    return load_run("unet3d", folder)


def test_nuclei_are_found_in_whichever_channel_shows_them(run):
    given = halves("c", 2)
    found = run.segment(given.image, SPACING).labels
    everywhere = np.ones(found.shape, bool)
    assert detection_f1(given.labels, found, everywhere) > 0.8
    for channel, parity in ((0, 0), (1, 1)):
        alone = given.image.copy()
        other = 1 - channel
        alone[other] = np.random.default_rng(7).normal(60, 12, found.shape).clip(0, 255)
        seen = np.where(given.labels % 2 == parity, given.labels, 0)
        found = run.segment(alone, SPACING).labels
        assert detection_f1(seen, found, everywhere) > detection_f1(
            given.labels - seen, found, everywhere
        )


@pytest.mark.parametrize("channels", [1, 3])
def test_other_channels_than_those_learned_are_refused(run, channels):
    image = np.random.default_rng(0).integers(0, 255, (channels, 4, 16, 16)).astype(np.uint8)
    with pytest.raises(ImageError, match=f"2 channels, got {channels}"):
        run.segment(image, SPACING)


def test_stacks_of_unequal_channels_are_not_mixed(tmp_path):
    with pytest.raises(TrainingDataError, match="as many channels in every training stack"):
        QUICK.train([halves("a", 0), sample("b", 1)], [], tmp_path)


def test_a_flat_image_is_learned_and_segmented(tmp_path):
    def flat(name: str, seed: int) -> TrainingSample:
        whole = sample(name, seed)
        middle = slice(6, 7)
        return dataclasses.replace(
            whole,
            image=whole.image[:, middle],
            labels=whole.labels[middle],
            mask=whole.mask[middle],
        )

    trainer = dataclasses.replace(QUICK, patch_size=(1, 32, 32))
    trainer.train([flat("a", 0), flat("b", 3)], [flat("c", 1)], tmp_path / "run")
    given = flat("d", 2)
    found = load_run("unet3d", tmp_path / "run").segment(given.image, SPACING).labels
    assert found.shape == given.labels.shape
    assert detection_f1(given.labels, found, np.ones(found.shape, bool)) > 0.8
