"""A checkpoint of Cellpose-SAM's true architecture and format whose values are made here.

Every tensor has its true name and shape; the 24 blocks hold the same values, which torch's format
stores once (60 MB in place of 1.2 GB, to be quick). The blocks are random but for their last
layers, which are nearly zero, so that the tokens reach the readout; the convolutions around them
are set by hand so that the whole network marks bright blobs: logit ~ intensity - threshold,
flow ~ intensity gradient across 16 pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cellpose.vit import CPSAM
from numpy.typing import NDArray

PATCH = 64
"""Pixels of a token (8 × 8), each of which gets a channel of its own."""

THRESHOLD = 0.3


def cut_architecture(monkeypatch: pytest.MonkeyPatch, depth: int = 2) -> None:
    """Let Cellpose-SAM have its true widths but fewer blocks, in Cellpose and in our checks."""
    from functools import partial

    import cellpose.vit
    from segment_anything.build_sam import _build_sam

    from models.cellpose import checkpoint, engine

    build = partial(
        _build_sam,
        1024,
        depth,
        16,
        # Blocks made for windows and for whole images have position tables of other lengths.
        [depth - 1],
    )
    monkeypatch.setitem(cellpose.vit.sam_model_registry, "vit_l", build)
    checkpoint.architecture.cache_clear()
    engine._load.cache_clear()


def whole_architecture() -> None:
    """Forget the cut one."""
    from models.cellpose import checkpoint, engine

    checkpoint.architecture.cache_clear()
    engine._load.cache_clear()


def write_checkpoint(path: Path, seed: int = 0, last: float = 1e-4) -> None:
    """Save a full state dict, as Cellpose's ``save_model`` does.

    `last` is the spread of the blocks' last layers: with 1e-4 they hardly change the tokens.
    """
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in CPSAM().state_dict().items()}
    generator = torch.Generator().manual_seed(seed)
    block = {
        name.split(".", 3)[3]: _block_value(name, shape, generator, last)
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


def fit_readout(net: Any, image: NDArray[Any], labels: NDArray[Any], ridge: float = 1.0) -> None:
    """Set the readout to what gives Cellpose's flows and logits best on labelled slices.

    Parameters
    ----------
    net : cellpose.vit.CPSAM
    image : ndarray, shape (Z, 256, 256)
        Normalised.
    labels : ndarray of int, shape (Z, 256, 256)
    ridge : float
    """
    from cellpose.dynamics import labels_to_flows

    flows = np.stack(labels_to_flows(list(labels)))
    target = np.stack([5 * flows[:, 2], 5 * flows[:, 3], 8 * flows[:, 1] - 4], axis=1)
    patches = torch.from_numpy(target.astype(np.float64)).reshape(len(image), 3, 32, 8, 32, 8)
    wanted = patches.permute(0, 2, 4, 1, 3, 5).reshape(-1, 3 * PATCH)
    tiles = torch.from_numpy(np.stack([image, 0 * image, 0 * image], axis=1)).to(net.dtype)
    with torch.no_grad():
        x = net.encoder.patch_embed(tiles) + net.encoder.pos_embed
        for block in net.encoder.blocks:
            x = block(x)
        features = net.encoder.neck(x.permute(0, 3, 1, 2)).double()
        rows = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
        rows = torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
        gram = rows.T @ rows + ridge * torch.eye(rows.shape[1])
        solved = torch.linalg.solve(gram, rows.T @ wanted).to(net.dtype)
        net.out.weight.copy_(solved[:-1].T[:, :, None, None])
        net.out.bias.copy_(solved[-1])


def _block_value(
    name: str, shape: torch.Size, generator: torch.Generator, spread: float
) -> torch.Tensor:
    if name.endswith("bias"):
        return torch.zeros(shape)
    if "norm" in name:
        return torch.ones(shape)
    last = name.endswith(("attn.proj.weight", "mlp.lin2.weight"))
    return torch.randn(shape, generator=generator) * (spread if last else 2e-2)


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
