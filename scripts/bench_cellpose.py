"""Time Cellpose-SAM's network: its own forward against the fast one, same weights, one run.

Run it from the repository's root: ``python -m scripts.bench_cellpose``.
"""

from __future__ import annotations

import statistics
from typing import Any

from scripts.timing import Row, in_turns, print_rows, row

RATIO = 2.5
TILES = 2
TILE = 256


def bench(repeats: int = 5) -> list[Row]:
    """Return one row: seconds per tile, the two forwards taking turns.

    The architecture is the true one (24 blocks, 307 million weights), its values are random.

    Raises
    ------
    RuntimeError
        When the two give different numbers.
    """
    import torch

    from models.cellpose.fast import FastTransformer
    from models.devices import choose_compute

    compute = choose_compute("auto")
    kind = torch.bfloat16 if compute.bf16 else torch.float32
    stock = random_network(kind).to(compute.device)
    fast = FastTransformer(stock)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(TILES, 3, TILE, TILE, generator=generator).to(compute.device, kind)
    runs = {"stock": lambda: stock(x)[0].cpu(), "fast": lambda: fast(x)[0].cpu()}
    with torch.inference_mode():
        first, second = (run().float() for run in runs.values())
        if (first - second).abs().mean() > 0.05 * first.std():
            raise RuntimeError("the fast forward gives other numbers than Cellpose's own")
        seconds = in_turns(runs, max(repeats, 5))
    found = row(
        f"Cellpose-SAM forward per {TILE}×{TILE} tile, {compute.note}",
        statistics.median(seconds["fast"]) / TILES,
        peer="cellpose's own forward",
        peer_seconds=statistics.median(seconds["stock"]) / TILES,
        limit=f"≥ {RATIO:g} ×",
    )
    least = {name: min(values) / TILES for name, values in seconds.items()}
    return [{**found, "seconds_least": least["fast"], "peer_seconds_least": least["stock"]}]


def random_network(kind: Any) -> Any:
    """Return Cellpose-SAM with random weights, norms set to pass everything."""
    import torch
    from cellpose.vit import CPSAM

    with torch.device("meta"):
        network = CPSAM(dtype=kind)
    network = network.to(kind).to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    norms = ("encoder.neck.1", "encoder.neck.3")
    for name, value in network.named_parameters():
        value.requires_grad_(False)
        if "norm" in name or name.startswith(norms):
            value.fill_(float(name.endswith("weight")))
        else:
            value.normal_(0, 0.02, generator=generator)
    network.W2.copy_(torch.eye(len(network.W2)).reshape(network.W2.shape))
    return network


if __name__ == "__main__":
    print_rows(bench)
