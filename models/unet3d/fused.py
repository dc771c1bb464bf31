"""The U-Net for prediction: normalisation folded in, and every step in the form that runs fastest.

A layer norm with fixed statistics is an affine map, and the convolution before it takes it over.
On a CPU the convolutions are oneDNN's with weights laid out beforehand and ReLU in the same pass;
pooling and upsampling work along one axis at a time on whole rows of channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.devices import Compute
from models.unet3d.architecture import Pooling
from models.unet3d.network import DoubleConv, FreezingNorm, UNet3D, Up

LAST = torch.channels_last_3d

Weights = tuple[Tensor, Tensor]
"""Weight and bias of a convolution, in the form that the operations want them."""


def foldable(network: UNet3D) -> bool:
    """Tell whether every normalisation is affine, so that a convolution can take it over."""
    blocks = [m for m in network.modules() if isinstance(m, DoubleConv)]
    return all(_is_affine(block[i]) for block in blocks for i in (1, 4))


def _is_affine(norm: nn.Module) -> bool:
    if isinstance(norm, FreezingNorm):
        return bool(norm.frozen)
    return isinstance(norm, nn.BatchNorm3d) and norm.running_mean is not None


def folded(conv: nn.Module, norm: Any) -> Weights:
    """Return weight and bias, float32, of the convolution that does both.

    Parameters
    ----------
    conv : Conv3d
        Without bias.
    norm : FreezingNorm or BatchNorm3d
        With fixed statistics.
    """
    frozen = isinstance(norm, FreezingNorm)
    mean, var = (norm.mean, norm.var) if frozen else (norm.running_mean, norm.running_var)
    epsilon = 1e-5 if frozen else norm.eps
    scale = norm.weight.double() * (var.double() + epsilon).rsqrt()
    assert isinstance(conv, nn.Conv3d), "blocks alternate convolutions and norms"
    weight = conv.weight.double() * scale[:, None, None, None, None]
    bias = norm.bias.double() - mean.double() * scale
    return weight.float(), bias.float()


def blocks(found: nn.ModuleList) -> Iterator[DoubleConv]:
    """Give the blocks of a list, which torch's types do not know."""
    return (block for block in found if isinstance(block, DoubleConv))


class Operations:
    """What the network is made of: torch's own, for GPUs and for builds without oneDNN.

    Parameters
    ----------
    device : str
    dtype : torch.dtype
        Number format of the features.
    """

    def __init__(self, device: str, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype

    def prepare(self, weight: Tensor, bias: Tensor) -> Weights:
        """Bring weights into the form that `convolve` wants."""
        return (
            weight.to(self.device, self.dtype, memory_format=LAST),
            bias.to(self.device, self.dtype),
        )

    def convolve(self, x: Tensor, weights: Weights, *, relu: bool) -> Tensor:
        """Convolve with a padding of 1, shape (N, C, Z, Y, X)."""
        y = functional.conv3d(x, *weights, padding=1)
        return functional.relu_(y) if relu else y

    def pool(self, x: Tensor, factor: Pooling) -> Tensor:
        """Return the maximum of each block."""
        return functional.max_pool3d(x, factor)

    def prepare_merge(self, weight: Tensor, bias: Tensor, skipped: int) -> tuple[Tensor, ...]:
        """Bring weights, the first `skipped` inputs of the skip connection, in form for `merge`."""
        return self.prepare(weight, bias)

    def merge(
        self, skip: Tensor, x: Tensor, factor: Pooling, weights: tuple[Tensor, ...]
    ) -> Tensor:
        """Upsample `x` trilinearly, and convolve `skip` and it together, with ReLU."""
        scale = tuple(float(f) for f in factor)
        up = functional.interpolate(x, scale_factor=scale, mode="trilinear", align_corners=False)
        both = torch.cat((skip, up), dim=1)
        return self.convolve(both, (weights[0], weights[1]), relu=True)


class PackedOperations(Operations):
    """OneDNN's convolutions, and pooling and upsampling by whole rows; for CPUs.

    Parameters
    ----------
    dtype : torch.dtype
        Number format of the features.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__("cpu", dtype)

    @staticmethod
    def available() -> bool:
        """Tell whether this build of torch has the operations, which its public API does not."""
        return bool(
            torch.backends.mkldnn.is_available()
            and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
            and hasattr(torch._C._nn, "mkldnn_reorder_conv3d_weight")
        )

    def prepare(self, weight: Tensor, bias: Tensor) -> Weights:
        """Lay the weights out as oneDNN reads them."""
        one = [1, 1, 1]
        packed = torch._C._nn.mkldnn_reorder_conv3d_weight(
            weight.to(self.dtype).to_mkldnn(), one, one, one, 1
        )
        return packed, bias.to(self.dtype)

    def convolve(self, x: Tensor, weights: Weights, *, relu: bool) -> Tensor:
        """Convolve with a padding of 1."""
        one = [1, 1, 1]
        after = "relu" if relu else "none"
        pointwise = torch.ops.mkldnn._convolution_pointwise
        y: Tensor = pointwise(x, *weights, one, one, one, 1, after, [], "")
        return y

    def pool(self, x: Tensor, factor: Pooling) -> Tensor:
        """Return the maximum of each block."""
        for axis, n in enumerate(factor, start=2):
            if n == 2:
                x = torch.maximum(_every_other(x, axis, 0), _every_other(x, axis, 1))
        return x

    def prepare_merge(self, weight: Tensor, bias: Tensor, skipped: int) -> tuple[Tensor, ...]:
        """Lay the two halves out on their own."""
        skip, bias = self.prepare(weight[:, :skipped].contiguous(), bias)
        return skip, bias, self.prepare(weight[:, skipped:].contiguous(), bias)[0]

    def merge(
        self, skip: Tensor, x: Tensor, factor: Pooling, weights: tuple[Tensor, ...]
    ) -> Tensor:
        """Upsample, and add the convolutions of the two halves.

        One after the other needs no copy of `skip`, and oneDNN's convolution of 512 channels takes
        2.3 times as long as two of 256.
        """
        shape = (x.shape[0], x.shape[1], *skip.shape[2:])
        up = torch.empty(shape, dtype=x.dtype, memory_format=LAST)
        upsample_into(up, x, factor)
        of_skip, bias, of_up = weights
        y, one = self.convolve(skip, (of_skip, bias), relu=False), [1, 1, 1]
        merged: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
            y, up, of_up, None, one, one, one, 1, "add", 1.0, "relu", [], ""
        )
        return merged


def _every_other(x: Tensor, axis: int, first: int) -> Tensor:
    return x[(slice(None),) * axis + (slice(first, None, 2),)]


def upsample_into(out: Tensor, x: Tensor, factor: Pooling) -> None:
    """Upsample trilinearly, as `interpolate` does with ``align_corners=False``.

    Parameters
    ----------
    out : Tensor, shape (N, C, Z * fz, Y * fy, X * fx)
        Written to; any strides.
    x : Tensor, shape (N, C, Z, Y, X)
    factor : (int, int, int)
        1 or 2 per axis.
    """
    axes = [axis for axis, f in enumerate(factor, start=2) if f == 2]
    if not axes:
        out.copy_(x)
    for axis in axes:
        shape = list(x.shape)
        shape[axis] *= 2
        last = axis == axes[-1]
        doubled = out if last else torch.empty(shape, dtype=x.dtype, memory_format=LAST)
        _double(doubled, x, axis)
        x = doubled


def _double(out: Tensor, x: Tensor, axis: int) -> None:
    """Put each voxel's two halves at a quarter and three quarters between its neighbours."""
    n = x.shape[axis]
    even, odd = _every_other(out, axis, 0), _every_other(out, axis, 1)
    even.select(axis, 0).copy_(x.select(axis, 0))
    odd.select(axis, n - 1).copy_(x.select(axis, n - 1))
    low, high = x.narrow(axis, 0, n - 1), x.narrow(axis, 1, n - 1)
    torch.lerp(high, low, 0.25, out=even.narrow(axis, 1, n - 1))
    torch.lerp(low, high, 0.25, out=odd.narrow(axis, 0, n - 1))


class FusedUNet:
    """A trained U-Net whose normalisation is part of its convolutions; for prediction only.

    The weights are copied: what happens to the network afterwards does not matter.

    Parameters
    ----------
    network : UNet3D
        One that `foldable` approves of.
    compute : Compute
        Where and in which number format.
    compiled : bool
        Let `torch.compile` work on it; pays on a GPU for many tiles of one size.
    operations : Operations, optional
        By default oneDNN's on a CPU that has them, else torch's.

    Raises
    ------
    ValueError
        The network's normalisation depends on its input.
    """

    def __init__(
        self,
        network: UNet3D,
        compute: Compute,
        *,
        compiled: bool = False,
        operations: Operations | None = None,
    ) -> None:
        if not foldable(network):
            raise ValueError(
                "expected a network with frozen or batch normalisation, got "
                f"{network.architecture.norm!r} that is not frozen; run the network itself"
            )
        self._do = operations or operations_for(compute)
        features, self._factors = network.architecture.features, network.architecture.pooling
        with torch.no_grad():
            self._down = [self._block(block) for block in blocks(network.down)]
            self._bottleneck = self._block(network.bottleneck)
            self._up = [
                self._do.prepare(*(value.clone() for value in up.conv.parameters()))
                for up in network.up
                if isinstance(up, Up)
            ]
            self._merge = [
                self._merging(block, skipped)
                for block, skipped in zip(blocks(network.merge), features, strict=True)
            ]
            self._out = tuple(
                value.detach().flatten(1).to(compute.device, self._do.dtype, copy=True)
                for value in (network.out.weight, cast(Tensor, network.out.bias)[:, None])
            )
        self._run: Any = torch.compile(self._forward) if compiled else self._forward

    @property
    def description(self) -> str:
        """How it is computed, in words."""
        if isinstance(self._do, PackedOperations):
            return "normalisation folded, oneDNN's packed convolutions"
        return "normalisation folded, torch's convolutions"

    def _block(self, block: DoubleConv) -> tuple[Weights, Weights]:
        first, second = (self._do.prepare(*folded(block[i], block[i + 1])) for i in (0, 3))
        return first, second

    def _merging(self, block: DoubleConv, skipped: int) -> tuple[tuple[Tensor, ...], Weights]:
        first = self._do.prepare_merge(*folded(block[0], block[1]), skipped)
        return first, self._do.prepare(*folded(block[3], block[4]))

    def __call__(self, x: Tensor) -> Tensor:
        """Return logits.

        Parameters
        ----------
        x : Tensor, shape (N, 1, Z, Y, X)
            On the device; Z, Y, X are multiples of ``architecture.multiple``.

        Returns
        -------
        Tensor of float32, shape (N, outputs, Z, Y, X)
        """
        with torch.inference_mode():
            logits: Tensor = self._run(x.to(self._do.dtype, memory_format=LAST))
        return logits

    def _forward(self, x: Tensor) -> Tensor:
        do, skips = self._do, []
        for block, factor in zip(self._down, self._factors, strict=True):
            x = self._twice(x, block)
            skips.append(x)
            x = do.pool(x, factor)
        x = self._twice(x, self._bottleneck)
        for up, (merge, last), factor in reversed(
            list(zip(self._up, self._merge, self._factors, strict=True))
        ):
            # An even kernel with padding 1 gives one voxel too many on each axis.
            x = do.convolve(x, up, relu=False)[..., :-1, :-1, :-1]
            x = do.merge(skips.pop(), x, factor, merge)
            x = do.convolve(x, last, relu=True)
        weight, bias = self._out
        return torch.stack([self._classify(one, weight, bias) for one in x])

    def _twice(self, x: Tensor, block: tuple[Weights, Weights]) -> Tensor:
        for weights in block:
            x = self._do.convolve(x, weights, relu=True)
        return x

    def _classify(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        # As a matrix product, the logits come out channel by channel, as they are wanted.
        rows = x.permute(1, 2, 3, 0).reshape(-1, x.shape[0])
        logits = (weight @ rows.T).float() + bias.float()
        return logits.reshape(-1, *x.shape[1:])


def operations_for(compute: Compute) -> Operations:
    """Return the fastest operations there are."""
    dtype = torch.bfloat16 if compute.bf16 else torch.float32
    if compute.device == "cpu" and PackedOperations.available():
        return PackedOperations(dtype)
    return Operations(compute.device, dtype)


def work_of(network: UNet3D, shape: tuple[int, int, int]) -> Iterator[int]:
    """Give each convolution's floating-point operations on a volume (Z, Y, X)."""
    size = list(shape)
    levels = [tuple(size)]
    for factor in network.architecture.pooling:
        size = [n // f for n, f in zip(size, factor, strict=True)]
        levels.append(tuple(size))
    blocks = [*zip(network.down, levels[:-1], strict=True), (network.bottleneck, levels[-1])]
    blocks += list(zip(network.merge, levels[:-1], strict=True))
    blocks += list(zip(network.up, levels[1:], strict=True))
    for block, (z, y, x) in [*blocks, (nn.Sequential(network.out), levels[0])]:
        for conv in (m for m in block.modules() if isinstance(m, nn.Conv3d)):
            yield 2 * conv.weight.numel() * z * y * x
