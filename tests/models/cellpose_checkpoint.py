"""A checkpoint of Cellpose-SAM's true architecture and format whose values are made here.

Every tensor has its true name and shape; the 24 blocks hold the same values, which torch's format
stores once (60 MB in place of 1.2 GB, to be quick). The blocks are random but for their last
layers, which are nearly zero, so that the tokens reach the readout; the convolutions around them
are set by hand so that the whole network marks bright blobs: logit ~ intensity - threshold,
flow ~ intensity gradient across 16 pixels.
"""

from __future__ import annotations

from pathlib import Path

import torch
from cellpose.vit import CPSAM

PATCH = 64
"""Pixels of a token (8 × 8), each of which gets a channel of its own."""

THRESHOLD = 0.3


def write_checkpoint(path: Path, seed: int = 0) -> None:
    """Save a full state dict, as Cellpose's ``save_model`` does."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in CPSAM().state_dict().items()}
    generator = torch.Generator().manual_seed(seed)
    block = {
        name.split(".", 3)[3]: _block_value(name, shape, generator)
        for name, shape in shapes.items()
        if name.startswith("encoder.blocks.0.")
    }
    state = {}
    for name, shape in shapes.items():
        value = torch.zeros(shape)
        if name.startswith("encoder.blocks."):
            base = block[name.split(".", 3)[3]]
            value = base if base.shape == shape else torch.zeros(shape)
        state[name] = value
    _set_convolutions(state)
    state["diam_labels"] = state["diam_mean"] = torch.tensor([30.0])
    torch.save(state, path)


def _block_value(name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    if name.endswith("bias"):
        return torch.zeros(shape)
    if "norm" in name:
        return torch.ones(shape)
    last = name.endswith(("attn.proj.weight", "mlp.lin2.weight"))
    return torch.randn(shape, generator=generator) * (1e-4 if last else 2e-2)


def _set_convolutions(state: dict[str, torch.Tensor]) -> None:
    pixel = torch.arange(PATCH)
    # Token channels: the 64 pixels, their negatives (zero mean for the norm), and ±2 (constant).
    for sign, first in ((1.0, 0), (-1.0, PATCH)):
        for p in pixel:
            state["encoder.patch_embed.proj.weight"][first + p, :, p // 8, p % 8] = sign
    state["encoder.patch_embed.proj.bias"][128:192] = 2.0
    state["encoder.patch_embed.proj.bias"][192:256] = -2.0
    state["encoder.neck.0.weight"][range(256), range(256), 0, 0] = 1.0
    for norm in ("encoder.neck.1", "encoder.neck.3"):
        state[f"{norm}.weight"][:] = 1.0
    taps = state["encoder.neck.2.weight"]
    taps[pixel, pixel, 1, 1] = 4.0
    taps[pixel, 128, 1, 1] = -4.0 * THRESHOLD / 2.0
    for first, (below, above) in ((64, ((2, 1), (0, 1))), (128, ((1, 2), (1, 0)))):
        taps[first + pixel, pixel, below[0], below[1]] = 4.0
        taps[first + pixel, pixel, above[0], above[1]] = -4.0
    taps[192:224, 128, 1, 1] = 2.0
    taps[224:256, 128, 1, 1] = -2.0
    out = state["out.weight"]
    # The second norm takes the mean away; half of (+c) + (-c) is what brings it back.
    for channel, first, gain in ((0, 64, 5.0), (1, 128, 5.0), (2, 0, 5.0)):
        out[channel * PATCH + pixel, first + pixel] = gain
        out[channel * PATCH + pixel, 192] = -gain / 2
        out[channel * PATCH + pixel, 224] = -gain / 2
    state["W2"] = torch.eye(3 * PATCH).reshape(3 * PATCH, 3, 8, 8)
