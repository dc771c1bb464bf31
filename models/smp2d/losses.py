"""Losses of the classes, exclusive or overlapping, and of the distances."""

from __future__ import annotations

import torch
from torch import Tensor

from models.smp2d.architecture import Activation
from models.unet3d.losses import class_loss
from models.unet3d.settings import LossSettings

ON_OBJECTS = 4.0
"""How much a pixel in an object counts for the distance: objects are few."""


def classes_loss(
    logits: Tensor,
    inside: Tensor,
    known: Tensor,
    activation: Activation,
    settings: LossSettings,
) -> Tensor:
    """Return the loss of the classes.

    Parameters
    ----------
    logits : Tensor, shape (N, K, Y, X)
        With softmax, (N, 1 + K, Y, X): that of the background is the first.
    inside, known : Tensor of float, shape (N, K, Y, X)
        1 in a class; 1 where that is known.
    activation : {"softmax", "sigmoid"}
        With sigmoid, each class against the rest; the mean over classes.
    settings : LossSettings
        Weights of the rest and of the class, or with softmax of background and each class.
    """
    loss = class_loss(settings)
    if activation == "softmax":
        number = torch.arange(1, inside.shape[1] + 1, device=inside.device)[:, None, None]
        return loss(logits, (inside * number).amax(1).long(), known.amin(1))
    # Two logits of which the first is 0 have the sigmoid of the second as their softmax.
    pairs = torch.stack((torch.zeros_like(logits), logits), dim=1)
    each = [loss(pairs[:, :, k], inside[:, k].long(), known[:, k]) for k in range(inside.shape[1])]
    return torch.stack(each).mean()


def distance_loss(logits: Tensor, distance: Tensor, inside: Tensor, counts: Tensor) -> Tensor:
    """Return the mean absolute error of the distances, where they are known.

    Parameters
    ----------
    logits, distance : Tensor, shape (N, D, Y, X)
    inside, counts : Tensor of float, shape (N, D, Y, X)
        1 in objects; 1 where the distance is known.
    """
    weight = counts * torch.where(inside > 0, ON_OBJECTS, 1.0)
    error = (torch.sigmoid(logits.float()) - distance).abs()
    return (error * weight).sum() / weight.sum().clamp_min(1.0)
