"""What a network looks like, as `config.json` says it, and how large it is at most."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le, MaxLen, MinLen

from models.options import Features

Grid = Literal[1, 2, 4, 8, 16]
"""Subsampling along an axis."""

Ratio = Annotated[float, Ge(0.001), Le(1000)]
"""Of voxel sizes."""

MOST_RAYS = 4096
Rays = Annotated[int, Ge(4), Le(MOST_RAYS)]

_Few = Annotated[int, Ge(1), Le(16)]
_Width = Annotated[int, Ge(1), Le(9)]
_Kernel = tuple[_Width, _Width, _Width]
_Pool = Annotated[int, Ge(1), Le(4)]
_LastFeatures = Annotated[int, Ge(0), Le(8192)]
_Part = Annotated[float, Ge(-1e6), Le(1e6)]
_Corner = Annotated[int, Ge(0), Le(MOST_RAYS - 1)]
_Corners = list[tuple[_Part, _Part, _Part]]
_Faces = list[tuple[_Corner, _Corner, _Corner]]
_Activation = Literal[
    "relu", "elu", "selu", "gelu", "leaky_relu", "linear", "tanh", "sigmoid", "swish"
]
"""Keras would make any of its objects of a mapping in this place."""


@dataclass(frozen=True, kw_only=True)
class _RayOptions:
    """What StarDist's kinds of rays take."""

    n: Rays | None = None
    anisotropy: tuple[Ratio, Ratio, Ratio] | None = None
    n_rays_x: Annotated[int, Ge(3), Le(64)] | None = None
    n_rays_z: Annotated[int, Ge(3), Le(64)] | None = None
    n_level: Annotated[int, Ge(1), Le(5)] | None = None
    vertices0: Annotated[_Corners, MinLen(4), MaxLen(MOST_RAYS)] | None = None
    faces0: Annotated[_Faces, MinLen(4), MaxLen(2 * MOST_RAYS)] | None = None

    def __post_init__(self) -> None:
        corners = [corner for face in self.faces0 or () for corner in face]
        # StarDist's C++ takes the corner on trust.
        if corners and max(corners) >= len(self.vertices0 or ()):
            raise ValueError("a face with a corner that is not there")


@dataclass(frozen=True, kw_only=True)
class _RayKind:
    """Rays as StarDist writes them; it evaluates the name as Python."""

    name: Literal["Rays_GoldenSpiral", "Rays_Cartesian", "Rays_Tetra", "Rays_Octo", "Rays_Explicit"]
    kwargs: _RayOptions


@dataclass(frozen=True, kw_only=True)
class _UNetConfig:
    """What 2D and 3D networks share of their `config.json`.

    Its defaults, as StarDist's `Config2D` and `Config3D` have them, where the file says nothing.
    """

    n_rays: Rays
    grid: tuple[Grid, ...]
    n_channel_in: Annotated[int, Ge(1), Le(16)] = 1
    n_classes: Annotated[int, Ge(1), Le(100)] | None = None
    net_conv_after_unet: _LastFeatures = 128
    unet_n_depth: Annotated[int, Ge(0), Le(8)]
    unet_kernel_size: tuple[_Width, ...]
    unet_n_filter_base: Features = 32
    unet_n_conv_per_depth: _Few = 2
    unet_activation: _Activation = "relu"
    unet_last_activation: _Activation = "relu"
    unet_batch_norm: bool = False
    unet_dropout: Annotated[float, Ge(0), Le(0.9)] = 0.0
    unet_expansion: Annotated[float, Ge(1), Le(4)] = 2
    unet_prefix: str = ""

    @property
    def most_parameters(self) -> float:
        """Weights of the network at most: each convolution as wide as the widest."""
        convolutions = self.unet_n_conv_per_depth * (self._pooled + 2 * self.unet_n_depth + 1)
        widest = self.unet_n_filter_base * self.unet_expansion**self.unet_n_depth
        kernel = math.prod(self.unet_kernel_size)
        return self._parameters(convolutions, max(widest, self.net_conv_after_unet), kernel)

    @property
    def _pooled(self) -> int:
        return round(math.log2(max(self.grid)))

    def _parameters(self, convolutions: int, widest: float, kernel: int) -> float:
        widest = max(widest, self.n_rays, self.n_classes or 0, self.n_channel_in)
        # Two inputs are joined on the way up.
        return (convolutions + 5) * kernel * 2 * widest**2


@dataclass(frozen=True, kw_only=True)
class FlatConfig(_UNetConfig):
    """What is taken of the `config.json` of a 2D network."""

    n_rays: Rays = 32
    grid: tuple[Grid, Grid] = (1, 1)
    backbone: Literal["unet"] = "unet"
    unet_n_depth: Annotated[int, Ge(0), Le(8)] = 3
    unet_kernel_size: tuple[_Width, _Width] = (3, 3)
    unet_pool: tuple[_Pool, _Pool] = (2, 2)


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(_UNetConfig):
    """What is taken of the `config.json` of a 3D network: all that decides what it finds."""

    rays_json: _RayKind
    n_rays: Rays = 96
    grid: tuple[Grid, Grid, Grid] = (1, 1, 1)
    anisotropy: tuple[Ratio, Ratio, Ratio] | None = None
    backbone: Literal["unet", "resnet"] = "unet"
    unet_n_depth: Annotated[int, Ge(0), Le(8)] = 2
    unet_kernel_size: _Kernel = (3, 3, 3)
    unet_pool: tuple[_Pool, _Pool, _Pool] = (2, 2, 2)
    net_conv_after_resnet: _LastFeatures = 128
    resnet_n_blocks: Annotated[int, Ge(1), Le(64)] = 4
    resnet_kernel_size: _Kernel = (3, 3, 3)
    resnet_kernel_init: Literal["he_normal", "he_uniform", "glorot_normal", "glorot_uniform"] = (
        "he_normal"
    )
    resnet_n_filter_base: Features = 32
    resnet_n_conv_per_block: Annotated[int, Ge(2), Le(16)] = 3
    resnet_activation: _Activation = "relu"
    resnet_batch_norm: bool = False

    @property
    def most_parameters(self) -> float:
        """Weights of the network at most: each convolution as wide as the widest."""
        if self.backbone == "unet":
            return super().most_parameters
        convolutions = self.resnet_n_blocks * (self.resnet_n_conv_per_block + 1) + 2
        widest = max(self.resnet_n_filter_base * 2**self._pooled, self.net_conv_after_resnet)
        kernel = max(math.prod(self.resnet_kernel_size), 7**3)
        return self._parameters(convolutions, widest, kernel)
