"""Statistics of normalisation that hold for a whole volume, from a few patches of it."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import torch
from numpy.typing import NDArray

from models.devices import Compute
from models.tiling import Size, read_reflected, tile_starts
from models.unet3d.network import FreezingNorm, UNet3D, freeze_norms

PATCHES = 8
"""Patches that the statistics are taken from."""

WORTH_PATCHES = 24
"""A volume of fewer patches is as quickly predicted with its tiles' own statistics."""


def worth_calibrating(network: UNet3D, shape: tuple[int, ...], patch: Size) -> bool:
    """Tell whether a volume is large enough, and the network normalises by what it is given."""
    norms = [m for m in network.modules() if isinstance(m, FreezingNorm)]
    large = math.prod(shape) >= WORTH_PATCHES * math.prod(patch)
    return large and bool(norms) and not any(norm.frozen for norm in norms)


def calibrated(
    network: UNet3D, image: NDArray[np.float32], patch: Size, compute: Compute
) -> UNet3D:
    """Return a copy whose normalisation is frozen at the statistics of patches of a volume.

    In training every patch is normalised by its own values. The mean of these values over a few
    patches of a volume is the same for all its tiles, so that no tile differs from its neighbour,
    and folds into the convolutions.

    Parameters
    ----------
    network : UNet3D
    image : ndarray of float32, shape (C, Z, Y, X)
        Normalised.
    patch : (int, int, int)
        Patch size (z, y, x) of the training.
    compute : Compute

    Returns
    -------
    UNet3D
    """
    own = copy.deepcopy(network)
    own.to(compute.device).to(memory_format=torch.channels_last_3d)
    norms = [m for m in own.modules() if isinstance(m, FreezingNorm)]
    own.train()
    with torch.no_grad(), compute.autocast():
        for index, start in enumerate(_chosen(image, patch)):
            for norm in norms:
                # A running mean in which every patch counts the same.
                norm.momentum = 1 / (index + 1)
            tile = torch.from_numpy(read_reflected(image, start, patch))[None]
            own(tile.to(compute.device).contiguous(memory_format=torch.channels_last_3d))
    freeze_norms(own)
    own.eval()
    return own


def _chosen(image: NDArray[np.float32], patch: Size) -> list[Size]:
    """Return the starts of patches: half of them the brightest, as training draws them."""
    starts = [tile_starts(n, t, 0.0, 0) for n, t in zip(image.shape[1:], patch, strict=True)]
    every: list[Size] = [(z, y, x) for z, y, x in itertools.product(*starts)]
    light = [float(read_reflected(image, at, patch).mean()) for at in every]
    order = np.argsort(light, kind="stable")[::-1]
    bright = order[: PATCHES // 2]
    rest = order[PATCHES // 2 :]
    step = max(1, len(rest) // (PATCHES - len(bright)))
    even = rest[step // 2 :: step][: PATCHES - len(bright)]
    return [every[int(i)] for i in (*bright, *even)]
