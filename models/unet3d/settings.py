"""Names and settings that are needed before torch is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LossName = Literal["wce", "focal", "iou", "tversky", "dice", "bce_dice", "binary_focal"]
ClassWeights = tuple[float, float, float]


@dataclass(frozen=True)
class LossSettings:
    """What the losses can be told.

    Parameters
    ----------
    name : str
        Which loss.
    class_weights : tuple of float
        One for each class; of the U-Net background, edge, nucleus.
    gamma, alpha : float
        Focal losses: exponent and factor.
    false_positive_weight, false_negative_weight : float
        Weights of false positives and of false negatives.
    """

    name: LossName
    class_weights: tuple[float, ...]
    gamma: float = 7.0
    alpha: float = 1.0
    false_positive_weight: float = 0.3
    false_negative_weight: float = 0.7


DEFAULT_CLASS_WEIGHTS: dict[str, ClassWeights] = {
    "wce": (1.0, 3.0, 2.0),
    "focal": (1.0, 3.0, 2.0),
    "binary_focal": (1.0, 3.0, 2.0),
    "bce_dice": (1.0, 3.0, 2.0),
    "iou": (1.0, 2.0, 1.5),
    "tversky": (1.0, 2.0, 1.5),
    "dice": (1.0, 2.0, 1.5),
}
"""Weights of background, edge, nucleus that are taken when none are given."""
