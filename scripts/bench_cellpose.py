"""Time Cellpose-SAM's network: its own forward against the fast one, same weights, one run.

Run it from the repository's root: ``python -m scripts.bench_cellpose``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

RATIO = 2.5
TILES = 2
TILE = 256


def bench(repeats: int = 5) -> list[dict[str, Any]]:
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
    seconds: dict[str, list[float]] = {"stock": [], "fast": []}
    with torch.inference_mode():
        first, second = stock(x)[0].float(), fast(x)[0].float()
        if (first - second).abs().mean() > 0.05 * first.std():
            raise RuntimeError("the fast forward gives other numbers than Cellpose's own")
        for _ in range(max(repeats, 5)):
            for name, network in (("stock", stock), ("fast", fast)):
                started = time.perf_counter()
                network(x)[0].cpu()
                seconds[name].append((time.perf_counter() - started) / TILES)
    ours, theirs = (statistics.median(seconds[name]) for name in ("fast", "stock"))
    return [
        {
            "name": f"Cellpose-SAM forward per {TILE}×{TILE} tile, {compute.note}",
            "seconds": ours,
            "seconds_least": min(seconds["fast"]),
            "peer": "cellpose's own forward",
            "peer_seconds": theirs,
            "peer_seconds_least": min(seconds["stock"]),
            "ratio": theirs / ours,
            "limit": f"≥ {RATIO:g} ×",
        }
    ]


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


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    for row in bench(parser.parse_args().repeats):
        print("  ".join(f"{key}={value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
