"""Cellpose-SAM's forward, re-expressed: the same weights, without a bias per pair of tokens.

Each of its 24 blocks adds to every head's 1024 × 1024 scores a bias that depends on the query and
on how many rows and columns the key lies away (Li et al. 2022, https://arxiv.org/abs/2112.01526).
Here the bias is part of the product of queries and keys: a query carries, behind its 64 values,
its bias for each of the 32 rows and 32 columns, a key carries a one at its row and its column. So
torch's fused attention does it all and no 1024 × 1024 array is ever written.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

STYLE = 256
"""Length of the second output, all zeros, that Cellpose's network keeps for older code."""

CPU_TILES = 2
"""Tiles computed together on a CPU: measured best of 1, 2 and 4."""


class FastTransformer(nn.Module):
    """Cellpose's network with another forward; it shares the network's weights.

    Parameters
    ----------
    net : cellpose.vit.CPSAM
        Loaded, in the number format and on the device that it shall run in.

    Notes
    -----
    Sums run in another order than in Cellpose's own forward: results are equal up to rounding.
    """

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net
        rows, columns = net.encoder.pos_embed.shape[1:3]
        for index, block in enumerate(net.encoder.blocks):
            table = position_table(block.attn, rows, columns)
            self.register_buffer(f"positions_{index}", table, persistent=False)

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the weights."""
        dtype: torch.dtype = self.net.dtype
        return dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.net.device
        return device

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return flows and cell logits of tiles, as Cellpose's network does.

        Parameters
        ----------
        x : Tensor, shape (tiles, 3, 256, 256)

        Returns
        -------
        Tensor, Tensor
            (tiles, 3, 256, 256): flow along y and x (times 5) and logit; (tiles, 256): zeros.
        """
        with torch.inference_mode():
            # Two tiles share each reading of the weights and still fit a CPU's caches.
            parts = x.split(CPU_TILES) if x.device.type == "cpu" else (x,)
            y = torch.cat([self._tiles(part) for part in parts])
            return y, torch.zeros((len(x), STYLE), device=x.device)

    def _tiles(self, x: Tensor) -> Tensor:
        net = self.net
        return functional.conv_transpose2d(
            net.out(net.encoder.neck(self.features(x))), net.W2, stride=net.ps
        )

    def features(self, x: Tensor) -> Tensor:
        """Return what the blocks make of tiles, before the neck; run it without gradients.

        Parameters
        ----------
        x : Tensor, shape (tiles, 3, 256, 256)

        Returns
        -------
        Tensor, shape (tiles, 1024, 32, 32)
        """
        net, encoder = self.net, self.net.encoder
        embed = encoder.patch_embed.proj
        x = functional.conv2d(x, embed.weight[:, : x.shape[1]], embed.bias, stride=net.ps)
        x = x.permute(0, 2, 3, 1) + encoder.pos_embed
        tiles, rows, columns, channels = x.shape
        tokens = x.reshape(-1, channels)
        qkv = _key_frame(tokens, tiles, rows, columns, encoder.blocks[0].attn.num_heads)
        for index, block in enumerate(encoder.blocks):
            tokens = self._block(tokens, block, getattr(self, f"positions_{index}"), qkv)
        return tokens.view(tiles, rows, columns, channels).permute(0, 3, 1, 2)

    def _block(self, x: Tensor, block: Any, positions: Tensor, qkv: Tensor) -> Tensor:
        normed = _normed(x, block.norm1)
        mixed = _attention(normed, block.attn, positions, qkv)
        x = _linear_add(mixed, block.attn.proj, x)
        hidden = _linear_gelu(_normed(x, block.norm2), block.mlp.lin1)
        return _linear_add(hidden, block.mlp.lin2, x)


def position_table(attention: Any, rows: int, columns: int) -> Tensor:
    """Return the block's bias table, in the order that `_attention` reads it in.

    Parameters
    ----------
    attention : segment_anything.modeling.image_encoder.Attention
    rows, columns : int
        Tokens of a tile along y and x.

    Returns
    -------
    Tensor, shape (2 rows + 2 columns, channels of a head)
        Product with a query: its biases for keys from ``rows - 1`` rows above it to ``rows - 1``
        below, one number unused, then the same for columns; before the scores are scaled.
    """
    # The package has no type hints.
    from segment_anything.modeling.image_encoder import get_rel_pos  # type: ignore[import-untyped]

    parts = []
    for count, table in ((rows, attention.rel_pos_h), (columns, attention.rel_pos_w)):
        # The function gives the embedding of each (query, key): the last query's row backwards
        # and the first one's are all distances from -(count - 1) to count - 1.
        pairs = get_rel_pos(count, count, table.detach().float())
        parts += [pairs[-1], pairs[0, 1:], pairs.new_zeros(1, pairs.shape[-1])]
    # The scores are multiplied by the scale, the bias is not; the scale is a power of two.
    table = torch.cat(parts) / float(attention.scale)
    return table.to(attention.rel_pos_h.dtype)


def _key_frame(like: Tensor, tiles: int, rows: int, columns: int, heads: int) -> Tensor:
    """Return room for queries, keys and values, filled where they do not depend on the image.

    Returns
    -------
    Tensor, shape (3, tiles, heads, rows * columns, channels of a head + rows + columns)
    """
    size = like.shape[1] // heads
    frame = like.new_zeros(3, tiles, heads, rows, columns, size + rows + columns)
    here = torch.eye(rows, dtype=like.dtype, device=like.device)
    frame[1, ..., size : size + rows] = here[:, None]
    here = torch.eye(columns, dtype=like.dtype, device=like.device)
    frame[1, ..., size + rows :] = here
    return frame


def _attention(x: Tensor, attention: Any, positions: Tensor, frame: Tensor) -> Tensor:
    """Return all heads' weighted values, shape (tokens, channels)."""
    _, tiles, heads, rows, columns, width = frame.shape
    size = width - rows - columns
    qkv = functional.linear(x, attention.qkv.weight, attention.qkv.bias)
    qkv = qkv.view(tiles, rows, columns, 3, heads, size)
    frame[..., :size] = qkv.permute(3, 0, 4, 1, 2, 5)
    bias = torch.mm(frame[0].view(-1, width)[:, :size], positions.t())
    # A query in row r starts reading at the distance -r, so that key row 0 comes first: the
    # stride of a row is one number short. The same holds for columns.
    line = bias.shape[1]
    plane = rows * columns * line
    shape = (tiles, heads, rows, columns)
    start = bias.storage_offset()
    frame[0, ..., size : size + rows] = bias.as_strided(
        (*shape, rows), (heads * plane, plane, columns * line - 1, line, 1), start + rows - 1
    )
    frame[0, ..., size + rows :] = bias.as_strided(
        (*shape, columns),
        (heads * plane, plane, columns * line, line - 1, 1),
        start + 2 * rows + columns - 1,
    )
    q, k, v = frame.view(3, tiles, heads, rows * columns, width)
    mixed = functional.scaled_dot_product_attention(q, k, v, scale=attention.scale)
    return mixed[..., :size].transpose(1, 2).reshape(-1, heads * size)


def _normed(x: Tensor, norm: Any) -> Tensor:
    return functional.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def _fusable(x: Tensor) -> bool:
    """Tell whether oneDNN, which adds and applies GELU while it multiplies, takes this array."""
    if x.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if x.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return bool(x.dtype == torch.float32)


def _linear_gelu(x: Tensor, layer: nn.Linear) -> Tensor:
    if not _fusable(x):
        return functional.gelu(functional.linear(x, layer.weight, layer.bias))
    pointwise = torch.ops.mkldnn._linear_pointwise
    fused: Tensor = pointwise(x, layer.weight, layer.bias, "gelu", [], "none")
    return fused


def _linear_add(x: Tensor, layer: nn.Linear, other: Tensor) -> Tensor:
    if not _fusable(x):
        return functional.linear(x, layer.weight, layer.bias).add_(other)
    pointwise = torch.ops.mkldnn._linear_pointwise
    fused: Tensor = pointwise(x, other, layer.weight, layer.bias, "add")
    return fused
