"""The 3D U-Net."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.unet3d.architecture import Architecture, Norm, Pooling

MOMENTUM = 0.02
"""Share of the newest patch in the running statistics of `FreezingNorm`."""


class InstanceNorm(nn.Module):
    """Normalisation of each patch and channel by its own mean and variance.

    The same as `torch.nn.InstanceNorm3d`, which copies channels-last arrays back and forth;
    batch normalisation of one patch at a time does not.
    Shapes: (N, C, Z, Y, X) → (N, C, Z, Y, X).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features."""
        if x[0, 0].numel() == 1:
            # One voxel is its own mean, so nothing of it would be left.
            return x * self.weight[:, None, None, None] + self.bias[:, None, None, None]
        parts = [
            functional.batch_norm(one, None, None, self.weight, self.bias, training=True)
            for one in x.split(1)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def _norm(kind: Norm, channels: int) -> nn.Module:
    if kind == "frozen":
        return FreezingNorm(channels)
    if kind == "instance":
        return InstanceNorm(channels)
    if kind == "batch":
        return nn.BatchNorm3d(channels)
    return nn.GroupNorm(8 if channels % 8 == 0 and channels > 8 else 1, channels)


class FreezingNorm(InstanceNorm):
    """Instance normalisation whose statistics can be frozen.

    Until `freeze`, each patch is normalised by its own values, and their running mean is kept.
    From then on the running values are used: the layer is an affine map, a tile's result no longer
    depends on the rest of the tile, and for inference the layer folds into its convolution.
    Shapes: (N, C, Z, Y, X) → (N, C, Z, Y, X).
    """

    mean: Tensor
    var: Tensor
    frozen: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))
        self.register_buffer("frozen", torch.zeros((), dtype=torch.bool))
        self.momentum = MOMENTUM

    def freeze(self) -> None:
        """Use the statistics seen so far from now on."""
        self.frozen.fill_(True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features."""
        if self.frozen:
            return functional.batch_norm(x, self.mean, self.var, self.weight, self.bias)
        if not self.training or x[0, 0].numel() == 1:
            return super().forward(x)
        parts = [
            functional.batch_norm(
                one,
                self.mean,
                self.var,
                self.weight,
                self.bias,
                training=True,
                momentum=self.momentum,
            )
            for one in x.split(1)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


class DoubleConv(nn.Sequential):
    """Two 3×3×3 convolutions, each with normalisation and ReLU.

    Shapes: (N, C_in, Z, Y, X) → (N, C_out, Z, Y, X).
    """

    def __init__(self, in_channels: int, out_channels: int, norm: Norm) -> None:
        super().__init__(
            nn.Conv3d(in_channels, out_channels, 3, padding=1, bias=False),
            _norm(norm, out_channels),
            nn.ReLU(inplace=True),
            nn.Conv3d(out_channels, out_channels, 3, padding=1, bias=False),
            _norm(norm, out_channels),
            nn.ReLU(inplace=True),
        )


class Up(nn.Module):
    """A 2×2×2 convolution that halves the channels, and trilinear upsampling.

    The convolution comes first: both are linear, and at the coarse size it costs an eighth.
    Shapes: (N, C, Z, Y, X) → (N, C / 2, Z·fz, Y·fy, X·fx).
    """

    def __init__(self, channels: int, factor: Pooling) -> None:
        super().__init__()
        self.factor = tuple(float(f) for f in factor)
        self.conv = nn.Conv3d(channels, channels // 2, 2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the upsampled features."""
        # An even kernel with padding 1 gives one voxel too many on each axis.
        x = self.conv(x)[..., :-1, :-1, :-1]
        return functional.interpolate(
            x, scale_factor=self.factor, mode="trilinear", align_corners=False
        )


class UNet3D(nn.Module):
    """U-Net with a pooling factor per level and axis.

    With features (64, 128, 256): 22.4 million parameters. After Çiçek et al. 2016 (3D U-Net),
    with trilinear upsampling and normalisation that works at batch size 1.

    Parameters
    ----------
    architecture : Architecture
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        features, norm = architecture.features, architecture.norm
        self.architecture = architecture
        inputs = (architecture.channels, *features[:-1])
        self.down = nn.ModuleList(
            DoubleConv(i, f, norm) for i, f in zip(inputs, features, strict=True)
        )
        deepest = 2 * features[-1]
        self.bottleneck = DoubleConv(features[-1], deepest, norm)
        below = (*features[1:], deepest)
        self.up = nn.ModuleList(Up(b, p) for b, p in zip(below, architecture.pooling, strict=True))
        self.merge = nn.ModuleList(
            DoubleConv(f + b // 2, f, norm) for f, b in zip(features, below, strict=True)
        )
        self.out = nn.Conv3d(features[0], architecture.outputs, 1)

    def start_at(self, frequencies: Sequence[float], inside: float, distance: float) -> None:
        """Let the untrained network answer with how frequent things are.

        Rare classes are then learned from the first step, and not first forgotten.

        Parameters
        ----------
        frequencies : sequence of float
            Of background, edge, nucleus; weighted as in the loss.
        inside, distance : float
            Share of voxels in objects, and mean relative distance.
        """
        rare = 1e-3
        shares = torch.tensor([inside, distance]).clamp(rare, 1 - rare)
        classes = torch.tensor([*frequencies]).clamp_min(rare).log()
        with torch.no_grad():
            assert self.out.bias is not None
            self.out.bias.copy_(torch.cat((classes, torch.logit(shares))))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits.

        Parameters
        ----------
        x : Tensor, shape (N, C, Z, Y, X)
            Z, Y, X are multiples of ``architecture.multiple``.

        Returns
        -------
        Tensor, shape (N, 5, Z, Y, X)
            Logits of background, edge and nucleus (softmax), then of "in an object" and of the
            normalised distance to the object's border (sigmoid each).
        """
        skips = []
        for block, factor in zip(self.down, self.architecture.pooling, strict=True):
            x = block(x)
            skips.append(x)
            x = functional.max_pool3d(x, factor)
        x = self.bottleneck(x)
        for level in reversed(range(len(skips))):
            x = torch.cat((skips[level], self.up[level](x)), dim=1)
            x = self.merge[level](x)
        logits: Tensor = self.out(x)
        return logits


def freeze_norms(*networks: nn.Module) -> None:
    """Freeze every `FreezingNorm` of the networks."""
    for module in itertools.chain.from_iterable(network.modules() for network in networks):
        if isinstance(module, FreezingNorm):
            module.freeze()
