"""Losses over three classes, each with class weights and a voxel mask.

Every loss takes ``logits`` (N, 3, Z, Y, X), ``classes`` (N, Z, Y, X) int64 and ``voxels``
(N, Z, Y, X) float: how much each voxel counts. A voxel of weight 0 is left out before anything is
computed, so its logits, its label and its gradient play no part.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from models.unet3d.settings import LossSettings

EPSILON = 1e-5

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def counted(values: Tensor, voxels: Tensor) -> Tensor:
    """Return the rows of the voxels that count: (N, C, Z, Y, X) → (V, C)."""
    return values.movedim(1, -1)[voxels > 0]


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp_min(EPSILON)


def weighted_cross_entropy(logp: Tensor, y: Tensor, v: Tensor, s: LossSettings) -> Tensor:
    """−Σ_i w_i y_i log p_i, mean over voxels."""
    w = logp.new_tensor(s.class_weights)
    return _mean(-(w * y * logp).sum(1), v)


def focal(logp: Tensor, y: Tensor, v: Tensor, s: LossSettings) -> Tensor:
    """−α Σ_i w_i (1 − p_i)^γ y_i log p_i, mean over voxels (Lin et al. 2017)."""
    w = logp.new_tensor(s.class_weights)
    easy = (1 - logp.exp()).clamp_min(0) ** s.gamma
    return _mean(-s.alpha * (w * easy * y * logp).sum(1), v)


def _per_class(values: Tensor, s: LossSettings) -> Tensor:
    # A class weight inside numerator and denominator would cancel; it weighs the class's term.
    w = values.new_tensor(s.class_weights)
    return (values * w).sum() / w.sum()


def iou(logp: Tensor, y: Tensor, v: Tensor, s: LossSettings) -> Tensor:
    """1 − Σ_i w_i IoU_i / Σ_i w_i with IoU_i = (Σ p y + ε) / (Σ (p + y − p y) + ε)."""
    p, v = logp.exp(), v[:, None]
    both = (v * p * y).sum(0)
    either = (v * (p + y - p * y)).sum(0)
    return 1 - _per_class((both + EPSILON) / (either + EPSILON), s)


def _tversky(
    p: Tensor, y: Tensor, v: Tensor, false_positive: float, false_negative: float
) -> Tensor:
    v = v[:, None]
    both = (v * p * y).sum(0)
    wrong = false_positive * (v * p * (1 - y)).sum(0) + false_negative * (v * (1 - p) * y).sum(0)
    return (both + EPSILON) / (both + wrong + EPSILON)


def tversky(logp: Tensor, y: Tensor, v: Tensor, s: LossSettings) -> Tensor:
    """1 − weighted mean over classes of the Tversky index (Salehi et al. 2017)."""
    weights = s.false_positive_weight, s.false_negative_weight
    return 1 - _per_class(_tversky(logp.exp(), y, v, *weights), s)


def dice(logp: Tensor, y: Tensor, v: Tensor, s: LossSettings) -> Tensor:
    """1 − weighted mean over classes of the soft Dice coefficient."""
    return 1 - _per_class(_tversky(logp.exp(), y, v, 0.5, 0.5), s)


def _one_against_rest(logp: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    p = logp.exp()
    log_rest = torch.log1p(-p.clamp_max(1 - EPSILON))
    return torch.where(y > 0, logp, log_rest), torch.where(y > 0, 1 - p, p)


def binary_focal(logp: Tensor, y: Tensor, v: Tensor, s: LossSettings) -> Tensor:
    """Focal loss of each class against the rest, weighted mean over classes, mean over voxels."""
    log_right, wrong = _one_against_rest(logp, y)
    terms = -s.alpha * wrong.clamp_min(0) ** s.gamma * log_right
    w = logp.new_tensor(s.class_weights)
    return _mean((terms * w).sum(1) / w.sum(), v)


def bce_dice(logp: Tensor, y: Tensor, v: Tensor, s: LossSettings) -> Tensor:
    """Half binary cross-entropy of each class against the rest, half Dice."""
    log_right, _ = _one_against_rest(logp, y)
    w = logp.new_tensor(s.class_weights)
    return 0.5 * _mean(-(log_right * w).sum(1) / w.sum(), v) + 0.5 * dice(logp, y, v, s)


_LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor, LossSettings], Tensor]] = {
    "wce": weighted_cross_entropy,
    "focal": focal,
    "iou": iou,
    "tversky": tversky,
    "dice": dice,
    "bce_dice": bce_dice,
    "binary_focal": binary_focal,
}


def class_loss(settings: LossSettings) -> Loss:
    """Return the loss (logits, classes, voxels) → scalar that the settings name."""
    formula = _LOSSES[settings.name]

    def loss(logits: Tensor, classes: Tensor, voxels: Tensor) -> Tensor:
        rows = counted(logits, voxels).float()
        if rows.shape[0] == 0:
            return rows.sum()
        keep = voxels > 0
        target = functional.one_hot(classes[keep], rows.shape[1]).to(rows.dtype)
        return formula(functional.log_softmax(rows, dim=1), target, voxels[keep].float(), settings)

    return loss


def head_loss(
    logits: Tensor, inside: Tensor, distance: Tensor, voxels: Tensor, sure: Tensor
) -> Tensor:
    """Loss of the head: cross-entropy of "in an object", and absolute error of the distance.

    Parameters
    ----------
    logits : Tensor, shape (N, 2, Z, Y, X)
    inside : Tensor of float, shape (N, Z, Y, X)
        1 in objects.
    distance : Tensor of float, shape (N, Z, Y, X)
        Distance to the object's border over the object's largest, 0 outside.
    voxels, sure : Tensor of float, shape (N, Z, Y, X)
        How much each voxel counts; and where the distance is known too (0 or 1).
    """
    rows = counted(logits, voxels).float()
    if rows.shape[0] == 0:
        return rows.sum()
    keep = voxels > 0
    target, weight = inside[keep], voxels[keep].float()
    entropy = functional.binary_cross_entropy_with_logits(rows[:, 0], target, reduction="none")
    error = (torch.sigmoid(rows[:, 1]) - distance[keep]).abs()
    # Objects are few; without this the background would decide the distance.
    known = weight * sure[keep] * torch.where(target > 0, 4.0, 1.0)
    return _mean(entropy, weight) + _mean(error, known)
