"""What StarDist refuses: several channels, and run folders that are damaged."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from models.errors import CheckpointError, ImageError, TrainingDataError
from models.registry import load_run
from models.stardist3d import StarDist3DTrainer
from tests.models.stardist3d.test_samples import SPACING, sample
from tests.models.stardist3d.test_trainer import ONE_STEP, TINY


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a tiny run."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    StarDist3DTrainer(**ONE_STEP).train([sample()], [sample(name="b", seed=1)], folder)
    return folder


@pytest.mark.parametrize("text", ['{"prob": NaN, "nms": 0.3}', '{"prob": "a", "nms": 0.3}', "{}"])
def test_thresholds_that_are_none_are_refused(run, tmp_path, text):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "thresholds.json").write_text(text)
    with pytest.raises(CheckpointError, match="expected prob and nms from 0 to 1"):
        load_run("stardist3d", tmp_path / "run")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": NaN', "\0", ""])
def test_descriptions_that_are_no_json_are_refused(run, tmp_path, text):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "model.json").write_text(text)
    with pytest.raises(CheckpointError, match="expected JSON, got a damaged file"):
        load_run("stardist3d", tmp_path / "run")


def test_several_channels_are_refused(run, tmp_path):
    one = sample()
    two = dataclasses.replace(one, image=np.concatenate([one.image, one.image]))
    with pytest.raises(TrainingDataError, match=r"StarDist.* takes one channel, got 2"):
        StarDist3DTrainer(**TINY).train([two], [], tmp_path)
    network = load_run("stardist3d", run)
    with pytest.raises(ImageError, match="at most 1 channel, got 2"):
        network.segment(two.image, SPACING)
    with pytest.raises(ImageError, match="at most 1 channel, got 2"):
        network.segment_blocks(two.image, np.zeros(one.labels.shape, np.uint32), SPACING)
