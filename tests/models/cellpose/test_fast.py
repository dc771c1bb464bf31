"""The fast forward of Cellpose-SAM against Cellpose's own, on the true widths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cellpose.vit import CPSAM
from numpy.typing import NDArray

from hitl.evaluation.metrics.matching import match
from labels.overlaps import count_overlaps
from models.base import Segmentation
from models.cellpose import CellposeSegmenter, engine
from models.cellpose.fast import FastTransformer
from models.devices import choose_compute
from tests.models.cellpose.checkpoint_file import (
    cut_architecture,
    fit_readout,
    whole_architecture,
    write_checkpoint,
)

pytestmark = pytest.mark.slow

DEPTH = 2


@pytest.fixture(scope="module")
def network() -> Any:
    """Random weights, strong position tables, two blocks of 24; float32."""
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        net = CPSAM()
    net.encoder.blocks = net.encoder.blocks[:DEPTH]
    net = net.to_empty(device="cpu").eval()
    for name, value in net.named_parameters():
        value.requires_grad_(False)
        if "norm" in name or name in ("encoder.neck.1.weight", "encoder.neck.3.weight"):
            value.fill_(float(name.endswith("weight")))
        else:
            # Strong enough that a wrong row, column or sign of the table would show at once.
            scale = 0.5 if "rel_pos" in name else 0.03
            value.copy_(torch.randn(value.shape, generator=generator) * scale)
    net.W2.copy_(torch.eye(192).reshape(192, 3, 8, 8))
    return net


@pytest.fixture(scope="module")
def tiles() -> torch.Tensor:
    return torch.rand(3, 3, 256, 256, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def exact(network: Any, tiles: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network(tiles)[0]


def test_float32_is_equal_but_for_the_order_of_sums(
    network: Any, tiles: torch.Tensor, exact: torch.Tensor
) -> None:
    found, style = FastTransformer(network)(tiles)
    assert found.shape == (3, 3, 256, 256) and style.shape == (3, 256)
    torch.testing.assert_close(found, exact, rtol=0, atol=2e-5)
    assert exact.std() > 0.1


def test_bfloat16_errs_no_more_than_stock(
    network: Any, tiles: torch.Tensor, exact: torch.Tensor
) -> None:
    half = _in_bfloat16(network)
    x = tiles.bfloat16()
    with torch.no_grad():
        stock = (half(x)[0].float() - exact).abs()
    fast = (FastTransformer(half)(x)[0].float() - exact).abs()
    assert fast.mean() <= 1.1 * stock.mean()
    assert fast.max() <= 1.5 * stock.max()
    assert stock.mean() < 0.02


def test_the_position_tables_matter(network: Any, tiles: torch.Tensor, exact: torch.Tensor) -> None:
    fast = FastTransformer(network)
    fast.positions_0 = fast.positions_0.flip(0)
    assert (fast(tiles[:1])[0] - exact[:1]).abs().max() > 0.01


def nuclei(seed: int, slices: int = 3) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    """Cones of equal slope that keep apart: what a linear readout of few blocks can learn."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((256, 256))
    labels = np.zeros((256, 256), np.int32)
    image = np.zeros((256, 256))
    near = np.zeros((256, 256), bool)
    for _ in range(200):
        cy, cx, radius = *rng.uniform(18, 238, 2), rng.uniform(8, 14)
        distance = np.hypot(y - cy, x - cx)
        if not near[distance < radius + 4].any():
            labels[distance < radius] = labels.max() + 1
            image += np.where(distance < radius, 400 + 40 * (radius - distance), 0)
            near |= distance < radius + 4
    noisy = 100 + image + rng.normal(0, 10, (slices, 256, 256))
    return noisy.clip(0).astype(np.uint16), np.repeat(labels[None], slices, axis=0)


@pytest.fixture
def cut_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    cut_architecture(monkeypatch, DEPTH)
    yield
    whole_architecture()


@pytest.fixture
def fitted(tmp_path: Path, cut_network: None) -> Path:
    """A checkpoint whose readout was fitted in float32, so that both formats start from it."""
    path = tmp_path / "cpsam_v2"
    write_checkpoint(path, last=2e-3)
    net = engine.load(path, choose_compute("fp32", "cpu")).net
    pairs = [nuclei(seed, slices=1) for seed in range(10, 14)]
    taught, labels = (np.concatenate(part) for part in zip(*pairs, strict=True))
    fit_readout(net, engine.normalise(taught, (1.0, 99.0)), labels)
    state = torch.load(path)
    torch.save(state | {"out.weight": net.out.weight, "out.bias": net.out.bias}, path)
    return path


def test_masks_match_stock(fitted: Path) -> None:
    image, truth = nuclei(1, slices=2)
    found = {
        (forward, precision): CellposeSegmenter(
            model=str(fitted), device="cpu", forward=forward, precision=precision
        ).segment(image[None], (1.0, 0.5, 0.5))
        for precision in ("fp32", "bf16")
        for forward in ("stock", "fast")
    }
    exact = found["stock", "fp32"]
    fast = found["fast", "fp32"]
    assert match(count_overlaps(exact.labels, fast.labels), 0.9).f1 == 1
    assert match(count_overlaps(truth, fast.labels), 0.5).f1 > 0.8, "the weights give no objects"
    np.testing.assert_allclose(fast.probability, exact.probability, rtol=0, atol=1e-5)
    assert not np.array_equal(fast.probability, exact.probability)
    # In bfloat16 either forward may lose an object whose flows are just at the threshold, and
    # which one depends on the processor: what both keep to is the distance from float32.
    stock, fast = found["stock", "bf16"], found["fast", "bf16"]
    assert _distance(fast, exact) <= 1.1 * _distance(stock, exact)
    assert not np.array_equal(fast.probability, stock.probability)
    assert ((fast.labels > 0) != (exact.labels > 0)).mean() < 0.015
    assert match(count_overlaps(exact.labels, fast.labels), 0.9).f1 > 0.9


def _distance(found: Segmentation, exact: Segmentation) -> float:
    return float(np.abs(found.probability - exact.probability).mean())


def _in_bfloat16(network: Any) -> Any:
    with torch.device("meta"):
        half = CPSAM(dtype=torch.bfloat16)
    half.encoder.blocks = half.encoder.blocks[:DEPTH]
    half.load_state_dict(
        {k: v.bfloat16() for k, v in network.state_dict().items()}, strict=True, assign=True
    )
    return half.eval()
