"""Background that the run a training starts from is sure of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from models.base import TrainingSample
from models.devices import Compute
from models.objects import NOMINAL_SPACING
from models.runfolder import starter_folder
from models.unet3d.checkpoint import read_run
from models.unet3d.patches import prepare
from models.unet3d.remembered import WEIGHT, remember_background
from models.unet3d.targets import BACKGROUND


def two_nuclei(verified):
    """Two bright balls of nominal size; `verified` voxels alone are known, and hold the first."""
    z, y, x = np.indices((16, 40, 72)) * np.reshape(NOMINAL_SPACING, (3, 1, 1, 1))
    balls = [(z - 16) ** 2 + (y - 20) ** 2 + (x - at) ** 2 < 49 for at in (18, 52)]
    labels = (balls[0] * 1 + balls[1] * 2).astype(np.uint32)
    noise = np.random.default_rng(0).normal(0, 4, labels.shape)
    image = (20 + 150 * (labels > 0) + noise).astype(np.float32)
    sample = TrainingSample("balls", image[None], labels, verified(labels, x), NOMINAL_SPACING)
    return labels, prepare(sample, NOMINAL_SPACING, (1.0, 99.8), 1, None)


@pytest.fixture(scope="module")
def starter():
    return read_run(starter_folder("unet3d"))


def test_sure_background_counts_and_what_is_verified_stays(starter):
    labels, stack = two_nuclei(lambda labels, x: (x < 34) & (np.abs(x - 18) < 9))
    notes: list[str] = []
    (told,) = remember_background([stack], starter, Compute("cpu", False), notes)
    old, new = stack.targets, told.targets
    known = old.voxels > 0
    for name in ("classes", "inside", "distance", "voxels", "sure"):
        np.testing.assert_array_equal(getattr(new, name)[known], getattr(old, name)[known])
    added = (new.voxels > 0) & ~known
    assert added.sum() > 0.3 * (~known).sum()
    assert set(np.unique(new.voxels[added])) == {np.float32(WEIGHT)}
    assert (new.classes[added] == BACKGROUND).all() and not new.inside[added].any()
    # The nucleus that nobody verified, but the starter sees, is no background.
    assert not (added & (labels == 2)).any()
    # Patches are drawn where a person looked.
    np.testing.assert_array_equal(told.known, stack.known)
    assert len(notes) == 1 and "nobody verified" in notes[0]


def test_a_verified_stack_stays_as_it_is(starter):
    _, stack = two_nuclei(lambda labels, x: np.ones(labels.shape, bool))
    notes: list[str] = []
    assert remember_background([stack], starter, Compute("cpu", False), notes) == [stack]
    assert notes == []


def test_what_is_held_out_is_neither_guessed_nor_counted(starter):
    _, stack = two_nuclei(lambda labels, x: x < 34)
    notes: list[str] = []
    held_out = stack.targets.voxels == 0
    held_out[..., 60:] = False
    (told,) = remember_background(
        [replace(stack, held_out=held_out)], starter, Compute("cpu", False), notes
    )
    assert not told.targets.voxels[held_out].any()
    assert told.targets.voxels[..., 60:].any()
    whole = replace(stack, held_out=stack.targets.voxels == 0)
    assert remember_background([whole], starter, Compute("cpu", False), []) == [whole]
