"""Losses against values worked by hand, and the promise that masked voxels count for nothing."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from models.unet3d.losses import class_loss, head_loss  # noqa: E402
from models.unet3d.settings import LossName, LossSettings  # noqa: E402

WEIGHTS = (1.0, 2.0, 4.0)
# Two voxels: a background one and a nucleus one.
P = ((0.5, 0.25, 0.25), (0.2, 0.3, 0.5))
CLASSES = (0, 2)


def volume(rows):
    """(V, C) rows as one patch of shape (1, C, 1, 1, V)."""
    return torch.tensor(rows, dtype=torch.float64).T[None, :, None, None, :]


def value(name, *, p=P, classes=CLASSES, voxels=None, weights=WEIGHTS, **more):
    loss = class_loss(LossSettings(name, weights, **more))
    voxels = torch.ones(len(p)) if voxels is None else torch.tensor(voxels)
    target = torch.tensor(classes)[None, None, None]
    return float(loss(volume(p).log(), target, voxels[None, None, None]))


def test_weighted_cross_entropy():
    assert value("wce") == pytest.approx((1 * math.log(2) + 4 * math.log(2)) / 2, rel=1e-5)


def test_focal():
    # (1 - p)^γ with p = 0.5 for both voxels, γ = 2, α = 3.
    expected = 3 * 0.25 * math.log(2) * (1 + 4) / 2
    assert value("focal", gamma=2.0, alpha=3.0) == pytest.approx(expected, rel=1e-5)


def test_focal_without_gamma_is_cross_entropy():
    assert value("focal", gamma=0.0) == pytest.approx(value("wce"), rel=1e-6)


def test_iou():
    # background: 0.5 / (1 + 0.2); edge: 0 / 0.55; nucleus: 0.5 / (0.25 + 1)
    expected = 1 - (1 * 0.5 / 1.2 + 2 * 0 + 4 * 0.5 / 1.25) / 7
    assert value("iou") == pytest.approx(expected, abs=1e-4)


def test_tversky():
    # both / (both + 0.3 false positive + 0.7 false negative)
    background = 0.5 / (0.5 + 0.3 * 0.2 + 0.7 * 0.5)
    nucleus = 0.5 / (0.5 + 0.3 * 0.25 + 0.7 * 0.5)
    expected = 1 - (background + 4 * nucleus) / 7
    got = value("tversky", false_positive_weight=0.3, false_negative_weight=0.7)
    assert got == pytest.approx(expected, abs=1e-4)


def dice_by_hand():
    return 1 - (2 * 0.5 / (0.7 + 1) + 4 * 2 * 0.5 / (0.75 + 1)) / 7


def test_dice():
    assert value("dice") == pytest.approx(dice_by_hand(), abs=1e-4)


def test_bce_dice():
    first = 1 * math.log(0.5) + 2 * math.log(0.75) + 4 * math.log(0.75)
    second = 1 * math.log(0.8) + 2 * math.log(0.7) + 4 * math.log(0.5)
    bce = -(first + second) / 7 / 2
    assert value("bce_dice") == pytest.approx(0.5 * bce + 0.5 * dice_by_hand(), abs=1e-4)


def test_binary_focal():
    terms = [
        (1, 0.5, 0.5), (2, 0.75, 0.25), (4, 0.75, 0.25),
        (1, 0.8, 0.2), (2, 0.7, 0.3), (4, 0.5, 0.5),
    ]  # fmt: skip
    expected = 0.5 * sum(-w * wrong**2 * math.log(right) for w, right, wrong in terms) / 7 / 2
    assert value("binary_focal", gamma=2.0, alpha=0.5) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", get_args(LossName))
def test_a_right_answer_costs_less_than_a_wrong_one(name):
    right = value(name, p=((0.98, 0.01, 0.01), (0.01, 0.01, 0.98)))
    wrong = value(name, p=((0.01, 0.01, 0.98), (0.98, 0.01, 0.01)))
    assert 0 <= right < 0.5 * wrong


@pytest.mark.parametrize("name", get_args(LossName))
def test_a_class_weight_matters(name):
    assert value(name, weights=(1, 2, 4)) != pytest.approx(value(name, weights=(9, 2, 1)), rel=1e-3)


@pytest.mark.parametrize("name", get_args(LossName))
def test_a_heavier_voxel_pulls_the_loss_towards_itself(name):
    p = ((0.9, 0.05, 0.05), (0.6, 0.3, 0.1))
    plain, heavy = value(name, p=p), value(name, p=p, voxels=(1.0, 50.0))
    alone = value(name, p=p, voxels=(0.0, 1.0))
    assert abs(heavy - alone) < abs(plain - alone)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(get_args(LossName)))
def test_masked_voxels_have_no_gradient_and_no_say(seed, name):
    rng = np.random.default_rng(seed)
    shape = (2, 3, 2, 4, 3)
    logits = torch.tensor(rng.normal(size=shape), requires_grad=True)
    classes = torch.tensor(rng.integers(0, 3, (2, *shape[2:])))
    mask = torch.tensor(rng.random((2, *shape[2:])) < 0.5)
    loss = class_loss(LossSettings(name, WEIGHTS))
    one = loss(logits, classes, mask.float())
    one.backward()
    assert (logits.grad.movedim(1, -1)[~mask] == 0).all()
    other_labels = torch.where(mask, classes, torch.tensor(rng.integers(0, 3, classes.shape)))
    other_logits = torch.where(mask[:, None], logits, torch.full_like(logits, float("nan")))
    assert loss(other_logits, other_labels, mask.float()).item() == one.item()


def test_masked_voxels_have_no_say_in_the_head():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 2, 2, 4, 4, generator=generator, requires_grad=True)
    inside = (torch.rand(1, 2, 4, 4, generator=generator) < 0.5).float()
    distance = inside * torch.rand(1, 2, 4, 4, generator=generator)
    mask = torch.rand(1, 2, 4, 4, generator=generator) < 0.5
    sure = torch.ones_like(inside)
    one = head_loss(logits, inside, distance, mask.float(), sure)
    one.backward()
    assert (logits.grad.movedim(1, -1)[~mask] == 0).all()
    assert (logits.grad.movedim(1, -1)[mask] != 0).any()
    other = head_loss(
        logits, torch.where(mask, inside, 1 - inside), distance * mask, mask.float(), sure
    )
    assert other.item() == one.item()


def test_head_by_hand():
    # One voxel in an object, one outside; logits 0 mean 0.5 everywhere.
    logits = torch.zeros(1, 2, 1, 1, 2)
    inside, distance = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[0.8, 0.0]]]])
    ones = torch.ones(1, 1, 1, 2)
    got = head_loss(logits, inside, distance, ones, ones).item()
    assert got == pytest.approx(math.log(2) + (4 * 0.3 + 0.5) / 5)
    unsure = torch.tensor([[[[0.0, 1.0]]]])
    assert head_loss(logits, inside, distance, ones, unsure).item() == pytest.approx(
        math.log(2) + 0.5
    )


@pytest.mark.parametrize("name", get_args(LossName))
def test_nothing_to_learn_is_no_loss(name):
    logits = torch.randn(1, 3, 2, 2, 2, requires_grad=True)
    zeros = torch.zeros(1, 2, 2, 2)
    loss = class_loss(LossSettings(name, WEIGHTS))(logits, zeros.long(), zeros)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()
