"""Time the U-Net's prediction and training step against PyTorch's and MONAI's usual ways.

Run it from the repository's root: ``python -m scripts.bench_unet``.
"""

from __future__ import annotations

import copy
import importlib.util
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.devices import Compute, choose_compute, reused_memory
from models.tiling import Tiling, predict_tiled
from models.unet3d.architecture import Architecture
from models.unet3d.predict import NetworkPredictor
from scripts.timing import Row, in_turns, print_rows, row, timed, times
from scripts.volumes import Labels, Size

SHAPE = (21, 512, 512)
FEATURES = (64, 128, 256)
POOLING = ((1, 2, 2), (1, 2, 2), (2, 2, 2))
STEP_SHAPE = (1, 1, 12, 96, 96)
PLAIN_REPEATS = 1
"""Of the plain float32 window and step, which take minutes at the usual number."""

PLAIN_RATIO, MONAI_RATIO, STEP_RATIO = 6, 1.3, 2
RATE_SHARE = 0.7
DIFFERENT_SHARE = 0.005
PRODUCT = 2048
"""Side of the matrices whose product says what the machine can do."""


def structured_network(features: tuple[int, ...] = FEATURES, seed: int = 0) -> Any:
    """Return a network with frozen normalisation and classes that follow the image.

    Its statistics are those of a noisy image with blobs, and every class takes part of it, as a
    trained one does; random weights alone would answer one class everywhere.
    """
    import torch

    from models.unet3d.network import MOMENTUM, FreezingNorm, UNet3D, freeze_norms

    torch.manual_seed(seed)
    network = UNet3D(Architecture(features, POOLING[: len(features)]))
    calibration = torch.from_numpy(blobs((8, 64, 64)))[None, None]
    with torch.no_grad():
        network.train()(calibration)
        for norm in (m for m in network.modules() if isinstance(m, FreezingNorm)):
            # One pass leaves a small share of what it saw in the running values: take all of it.
            norm.mean.div_(MOMENTUM)
            norm.var.sub_(1 - MOMENTUM).div_(MOMENTUM).clamp_min_(1e-3)
        freeze_norms(network)
        logits = network.eval()(calibration)[0, :3]
        spread = logits.std(dim=(1, 2, 3)).clamp_min(1e-6)
        network.out.weight[:3] *= (3 / spread)[:, None, None, None, None]
        network.out.bias[:3] = 0
        network.out.bias[:3] = -network(calibration)[0, :3].mean(dim=(1, 2, 3))
    return network


def blobs(shape: Size, seed: int = 0) -> NDArray[np.float32]:
    """Return smooth blobs with noise, of about the intensities that the network is given."""
    from scipy import ndimage

    noise = np.random.default_rng(seed).standard_normal(shape, np.float32)
    smooth = ndimage.gaussian_filter(noise, (1, 5, 5))
    image: NDArray[np.float32] = (smooth / smooth.std() + 0.1 * noise).clip(-1, 3)
    return image


def bench(
    repeats: int = 5, *, shape: Size = SHAPE, features: tuple[int, ...] = FEATURES
) -> list[Row]:
    """Return rows for prediction (plain PyTorch, MONAI, matrix products, labels) and training.

    Medians of repeats taken in turns; the plain float32 runs, which take longest, run once.

    Raises
    ------
    RuntimeError
        Labels differ from float32's in more voxels than allowed.
    """
    from models.unet3d.fused import work_of

    network, image = structured_network(features), blobs(shape, 1)
    compute = choose_compute(device="cpu")
    predictor = NetworkPredictor(
        copy.deepcopy(network), network.architecture, compute, (12, 96, 96)
    )
    tiling = predictor.tiling(shape)
    runs: dict[str, Callable[[], Any]] = {
        "ours": lambda: predictor.maps(image[None]),
        "product": _matrix_product(compute),
    }
    if importlib.util.find_spec("monai") is not None:
        runs["monai"] = _monai(copy.deepcopy(network), image, compute, tiling)
    predictor.maps(image[:, : shape[1] // 2, : shape[2] // 2])
    seconds = _medians(runs, repeats)
    plain_seconds, _ = timed(lambda: plain_window(network, image, tiling), PLAIN_REPEATS)
    flops = sum(work_of(network, shape))
    name = f"U-Net {list(features)} on {times(shape)}, {compute.note[9:]}"
    ours = seconds["ours"]
    return [
        row(
            name,
            ours,
            peer="plain float32 window",
            peer_seconds=plain_seconds,
            limit=f"≥ {PLAIN_RATIO} ×",
        ),
        row(
            name,
            ours,
            peer="MONAI sliding window, same model" if "monai" in runs else "monai not installed",
            peer_seconds=seconds.get("monai"),
            limit=f"≥ {MONAI_RATIO} ×",
        ),
        row(
            f"the same, {flops / ours / 1e12:.2f} TFLOP/s",
            ours,
            # What the layers' work alone would take as matrix products.
            peer="the layers at matrix-product rate",
            peer_seconds=flops / (2 * PRODUCT**3 / seconds["product"]),
            limit=f"≥ {RATE_SHARE}",
        ),
        label_row(),
        step_row(repeats, features),
    ]


def _matrix_product(compute: Compute) -> Callable[[], Any]:
    import torch

    kind = torch.bfloat16 if compute.bf16 else torch.float32
    a, b = (torch.randn(PRODUCT, PRODUCT).to(kind) for _ in range(2))

    def best_of_ten() -> float:
        return min(timed(lambda: a @ b, 1)[0] for _ in range(10))

    return best_of_ten


def plain_window(network: Any, image: NDArray[np.float32], tiling: Tiling) -> Any:
    """Predict with the network as it is, float32, contiguous, in the same tiles with a Gaussian."""
    import torch

    network = network.to(memory_format=torch.contiguous_format)

    def predict(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits = network(torch.from_numpy(tiles)[:, None])
            values = torch.cat((torch.softmax(logits[:, :3], 1), torch.sigmoid(logits[:, 3:])), 1)
        probabilities: NDArray[np.float32] = values.numpy()
        return probabilities

    return predict_tiled(predict, image, network.architecture.outputs, tiling)


def _monai(
    network: Any, image: NDArray[np.float32], compute: Compute, tiling: Tiling
) -> Callable[[], Any]:
    import torch
    from monai.inferers.utils import sliding_window_inference

    network = network.to(memory_format=torch.channels_last_3d)
    x = torch.from_numpy(image)[None, None]

    def run() -> Any:
        with torch.inference_mode(), compute.autocast():
            return sliding_window_inference(
                x, tiling.tile, 1, network, overlap=tiling.overlaps, mode="gaussian"
            )

    return run


def starter_labels(shape: Size = (21, 256, 256)) -> tuple[list[NDArray[np.float32]], list[Labels]]:
    """Return the starter's maps and labels of a synthetic stack, in float32 and in bfloat16."""
    from models.objects import relative_spacing
    from models.runfolder import starter_folder
    from models.synthetic import NucleiGenerator
    from models.unet3d.checkpoint import load_network, read_run
    from models.unet3d.instances import label_objects
    from models.unet3d.volumes import intensity_range, normalise, resize, resized_shape

    count = int(np.prod(shape) / 4000)
    stack = NucleiGenerator(
        shape=shape, spacing_um=(2.0, 1.0, 1.0), diameter_um=12.0, nuclei=count
    ).make(3)
    run = read_run(starter_folder("unet3d"))
    spacing = relative_spacing(stack.spacing_um, 12.0)
    image = normalise(stack.image, *intensity_range(stack.image, run.settings.percentiles))
    image = resize(image, resized_shape(shape, spacing, run.settings.spacing_um), linear=True)
    maps = [
        NetworkPredictor(
            load_network(run), run.architecture, compute, run.settings.patch_size
        ).maps(image[None])
        for compute in (Compute("cpu", False), Compute("cpu", True))
    ]
    settings = run.settings.instances
    return maps, [label_objects(m, run.settings.spacing_um, settings) for m in maps]


def different_voxels(one: Labels, other: Labels) -> float:
    """Return the share of voxels whose object is not the one that overlaps it most."""
    width = int(other.max()) + 1
    pairs = one.ravel().astype(np.int64) * width + other.ravel()
    table = np.bincount(pairs, minlength=(int(one.max()) + 1) * width).reshape(-1, width)
    same = table[0, 0] + table[1:, 1:].max(axis=1, initial=0).sum()
    return float(1 - same / one.size)


def label_row() -> Row:
    """Return the row of how many voxels get another object in bfloat16.

    Raises
    ------
    RuntimeError
        More than allowed.
    """
    _, labels = starter_labels()
    different = different_voxels(*labels)
    if different > DIFFERENT_SHARE:
        raise RuntimeError(f"{different:.2%} of the voxels have another object than in float32")
    return row(
        f"voxels of another object than in float32, {labels[0].max()} nuclei: {different:.3%}",
        0.0,
        limit=f"≤ {DIFFERENT_SHARE:.1%}",
    )


def training_steps(features: tuple[int, ...] = FEATURES) -> dict[str, Callable[[], Any]]:
    """Return one step as the toolkit does it, and as plain float32 PyTorch does."""
    import torch
    from torch import nn

    from models.unet3d.network import FreezingNorm, UNet3D

    compute = choose_compute(device="cpu")
    architecture = Architecture(features, POOLING[: len(features)])
    ours, plain = UNet3D(architecture), UNet3D(architecture)
    ours = ours.to(memory_format=torch.channels_last_3d)
    for block in (m for m in plain.modules() if isinstance(m, nn.Sequential)):
        for i, layer in enumerate(block):
            if isinstance(layer, FreezingNorm):
                block[i] = nn.InstanceNorm3d(layer.weight.numel(), affine=True)
    x, truth = torch.randn(STEP_SHAPE), torch.randint(0, 3, (STEP_SHAPE[0], *STEP_SHAPE[2:]))

    def step(network: Any, bf16: bool) -> Callable[[], Any]:
        layout = torch.channels_last_3d if bf16 else torch.contiguous_format
        optimiser = torch.optim.AdamW(network.parameters(), foreach=bf16)

        def run() -> None:
            with Compute("cpu", bf16).autocast():
                logits = network(x.contiguous(memory_format=layout))
            loss = nn.functional.cross_entropy(logits.float()[:, :3], truth)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()

        return run

    return {"ours": step(ours, compute.bf16), "plain": step(plain, False)}


def step_row(repeats: int = 5, features: tuple[int, ...] = FEATURES) -> Row:
    """Return the row of one training step."""
    runs = training_steps(features)
    with reused_memory():
        for run in runs.values():
            run()
        seconds = _medians(runs, repeats)
    return row(
        f"training step {list(features)}, {times(STEP_SHAPE[2:])}",
        seconds["ours"],
        peer="plain float32 step",
        peer_seconds=seconds["plain"],
        limit=f"≥ {STEP_RATIO} ×",
    )


def _medians(runs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    return {name: statistics.median(each) for name, each in in_turns(runs, repeats).items()}


if __name__ == "__main__":
    print_rows(bench)
