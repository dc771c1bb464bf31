"""The folded network, the tiles that it is given, and what happens when memory runs out."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import asdict

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.devices import Compute, cpu_has_bf16, reused_memory  # noqa: E402
from models.errors import CheckpointError, TileMemoryError  # noqa: E402
from models.runfolder import (  # noqa: E402
    FORMAT,
    MODEL_FILE,
    write_json,
)
from models.tensors import WEIGHTS_FILE, write_tensors  # noqa: E402
from models.tiling import Tiling  # noqa: E402
from models.unet3d.architecture import Architecture  # noqa: E402
from models.unet3d.fused import (  # noqa: E402
    FusedUNet,
    Operations,
    PackedOperations,
    foldable,
    upsample_into,
    work_of,
)
from models.unet3d.instances import InstanceSettings  # noqa: E402
from models.unet3d.network import UNet3D, freeze_norms  # noqa: E402
from models.unet3d.predict import NetworkPredictor, load_run  # noqa: E402
from scripts.bench_unet import (  # noqa: E402
    blobs,
    different_voxels,
    starter_labels,
    structured_network,
)

FP32, BF16 = Compute("cpu", False), Compute("cpu", True)
ARCHITECTURE = Architecture((8, 16), ((1, 2, 2), (2, 2, 2)))
needs_bf16 = pytest.mark.skipif(not cpu_has_bf16(), reason="no bfloat16 in this processor")
needs_onednn = pytest.mark.skipif(not PackedOperations.available(), reason="torch without oneDNN")


def trained(architecture=ARCHITECTURE):
    """A network in whose norms nothing is as it began."""
    torch.manual_seed(0)
    network = UNet3D(architecture)
    with torch.no_grad():
        for module in network.modules():
            if hasattr(module, "bias") and module.bias is not None:
                module.bias.normal_(0, 0.3)
            if type(module).__name__ in ("FreezingNorm", "BatchNorm3d"):
                module.weight.uniform_(0.5, 2)
        for _ in range(30):
            network.train()(torch.randn(2, 1, 4, 16, 16))
    freeze_norms(network)
    return network.eval()


def volume(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@needs_onednn
@pytest.mark.parametrize("norm", ["frozen", "batch"])
@pytest.mark.parametrize(
    ("pooling", "shape"),
    [
        (((1, 2, 2), (2, 2, 2)), (1, 1, 4, 16, 24)),
        (((1, 2, 2), (1, 2, 2)), (2, 1, 1, 8, 4)),
        (((2, 2, 2), (1, 1, 1)), (1, 1, 2, 2, 2)),
    ],
)
def test_packed_and_folded_is_the_network(norm, pooling, shape):
    network = trained(Architecture((8, 16), pooling, norm))
    x = volume(*shape)
    with torch.no_grad():
        expected = network(x)
    got = FusedUNet(network, FP32, operations=PackedOperations(torch.float32))(x)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_torch_s_operations_give_the_same():
    # This is the path of a GPU, without one.
    network, x = trained(), volume(2, 1, 4, 16, 24)
    plain = FusedUNet(network, FP32, operations=Operations("cpu", torch.float32))
    with torch.no_grad():
        torch.testing.assert_close(plain(x), network(x), rtol=1e-4, atol=1e-4)
    assert "torch's" in plain.description


@needs_bf16
@needs_onednn
def test_bf16_is_off_by_no_more_than_autocast():
    network, x = trained(), volume(1, 1, 8, 32, 32)
    with torch.no_grad():
        exact = network(x)
        with BF16.autocast():
            autocast = network(x).float()
    off = (FusedUNet(network, BF16)(x) - exact).abs()
    usual = (autocast - exact).abs()
    assert off.mean() < 1.5 * usual.mean()
    assert off.max() < 2 * usual.max()
    assert off.mean() > 1e-4, "this was not bfloat16"


@needs_onednn
def test_weights_are_copied():
    network, x = trained(), volume(1, 1, 4, 8, 8)
    for operations in (PackedOperations(torch.float32), Operations("cpu", torch.float32)):
        fused = FusedUNet(network, FP32, operations=operations)
        before = fused(x)
        saved = {k: v.clone() for k, v in network.state_dict().items()}
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.zero_()
        torch.testing.assert_close(fused(x), before, rtol=0, atol=0)
        network.load_state_dict(saved)


@pytest.mark.parametrize("norm", ["instance", "group", "frozen"])
def test_what_depends_on_the_tile_is_not_folded(norm):
    network = UNet3D(Architecture((8,), ((1, 2, 2),), norm)).eval()
    assert not foldable(network)
    with pytest.raises(ValueError, match="not frozen"):
        FusedUNet(network, FP32)
    predictor = NetworkPredictor(network, network.architecture, FP32, (4, 16, 16))
    assert "not folded" in predictor.engine
    assert predictor.tiling((40, 400, 400)).tile <= (8, 24, 24)


@pytest.mark.parametrize("factor", [(1, 2, 2), (2, 2, 2), (1, 1, 1), (2, 1, 2), (2, 1, 1)])
@pytest.mark.parametrize("size", [(3, 4, 5), (1, 1, 1), (2, 1, 3)])
def test_upsampling_is_torch_s(factor, size):
    x = volume(2, 6, *size).contiguous(memory_format=torch.channels_last_3d)
    expected = torch.nn.functional.interpolate(
        x, scale_factor=tuple(map(float, factor)), mode="trilinear", align_corners=False
    )
    both = torch.full((2, 9, *expected.shape[2:]), torch.nan)
    upsample_into(both[:, 3:], x, factor)
    torch.testing.assert_close(both[:, 3:], expected)
    assert both[:, :3].isnan().all()


def test_the_work_is_counted_as_torch_counts_it():
    from torch.utils.flop_counter import FlopCounterMode

    network = UNet3D(Architecture((4,), ((1, 1, 1),)))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 1, 4, 6, 8))
    ours = list(work_of(network, (4, 6, 8)))
    # The even kernel's one voxel too many is no work that anyone needs.
    wasted = 2 * 8 * 4 * 8 * (5 * 7 * 9 - 4 * 6 * 8)
    assert sum(ours) == counter.get_total_flops() - wasted


def test_seams_are_small():
    network = structured_network((8, 16, 32))
    image = blobs((6, 96, 112))
    exact = NetworkPredictor(network, network.architecture, FP32, (6, 32, 32))
    whole = exact.maps(image[None], Tiling(tile=(6, 112, 128), border=(0, 8, 8)))
    shared = 16 / 64
    tiles = Tiling(tile=(6, 64, 64), overlap=(0.0, shared, shared), border=(0, 8, 8))
    cut = Tiling(tile=(6, 32, 32), overlap=0.0)
    tiled = exact.maps(image[None], tiles)
    # Untrained weights look much farther than trained ones; without overlap it is far worse.
    assert np.abs(tiled - whole).mean() < 0.3 * np.abs(exact.maps(image[None], cut) - whole).mean()


@needs_bf16
def test_bf16_labels_are_float32_s():
    maps, labels = starter_labels((20, 96, 96))
    chosen, fast = (m[:3].argmax(0) for m in maps)
    assert np.bincount(chosen.ravel(), minlength=3).min() > 0.02 * chosen.size
    assert (fast != chosen).mean() < 0.005
    assert labels[0].max() > 10
    assert different_voxels(*labels) < 0.005


@pytest.mark.parametrize("shape", [(1, 40, 40), (3, 5, 7), (2, 100, 9), (1, 1, 1)])
def test_one_slice_and_stacks_smaller_than_the_patch(shape):
    image = np.random.default_rng(0).random(shape, np.float32)
    for compute in (FP32, Compute("cpu", cpu_has_bf16())):
        predictor = NetworkPredictor(trained(), ARCHITECTURE, compute, (24, 96, 96))
        maps = predictor.maps(image[None])
        assert maps.shape == (5, *shape)
        np.testing.assert_allclose(maps[:3].sum(0), 1, rtol=1e-4)
        assert ((maps >= 0) & (maps <= 1)).all()


def test_large_volumes_get_few_tiles_within_the_memory():
    network = UNet3D(Architecture((64, 128, 256), ((1, 2, 2), (1, 2, 2), (2, 2, 2)))).eval()
    freeze_norms(network)
    predictor = NetworkPredictor(network, network.architecture, BF16, (12, 96, 96))
    tiling = predictor.tiling((21, 512, 512))
    assert tiling.tile == (22, 272, 272)
    assert np.prod(tiling.tile) * 64 * 2 * 4 < 2**30


def fail_above(monkeypatch, voxels, error):
    """Let the network run out of memory above a number of voxels; return the sizes it was given."""
    run, seen = FusedUNet.__call__, []

    def call(self, x):
        seen.append(tuple(x.shape[2:]))
        if x.numel() > voxels:
            raise error
        return run(self, x)

    monkeypatch.setattr(FusedUNet, "__call__", call)
    return seen


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes"),
    ],
)
def test_out_of_memory_takes_smaller_tiles_and_tells(error, monkeypatch):
    image = np.random.default_rng(0).random((4, 64, 64), np.float32)
    predictor = NetworkPredictor(trained(), ARCHITECTURE, FP32, (4, 16, 16))
    expected = predictor.maps(image[None])
    seen = fail_above(monkeypatch, 4 * 48 * 48, error)
    notes, calls = [], []
    got = predictor.maps(image[None], notes=notes, progress=lambda *call: calls.append(call[:2]))
    assert len(notes) >= 1
    assert all("did not fit in memory" in note for note in notes)
    assert calls[0] == (0, 1)
    assert calls[-1][0] == calls[-1][1] > 1
    assert np.abs(got - expected).mean() < 0.01
    seen.clear()
    predictor.maps(image[None])
    assert seen and all(np.prod(size) <= 4 * 48 * 48 for size in seen), "it did not remember"


def test_out_of_memory_at_the_smallest_tile_is_an_error(monkeypatch):
    predictor = NetworkPredictor(trained(), ARCHITECTURE, FP32, (4, 16, 16))
    seen = fail_above(monkeypatch, 0, MemoryError("no"))
    with pytest.raises(TileMemoryError, match=r"expected memory for a tile of 2×8×8 voxels"):
        predictor.maps(np.zeros((1, 4, 64, 64), np.float32))
    assert 0 < len(seen) < 12


def test_other_errors_are_not_taken_for_want_of_memory(monkeypatch):
    predictor = NetworkPredictor(trained(), ARCHITECTURE, FP32, (4, 16, 16))
    fail_above(monkeypatch, 0, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        predictor.maps(np.zeros((1, 4, 64, 64), np.float32))


def finished_run(folder, **more):
    """A run folder as training leaves it."""
    sha = write_tensors(folder / WEIGHTS_FILE, trained().state_dict())
    data = {
        "model": "unet3d",
        "format": FORMAT,
        "architecture": asdict(ARCHITECTURE),
        "patch_size": (4, 16, 16),
        "spacing_um": (1.0, 1.0, 1.0),
        "percentiles": (1.0, 99.8),
        "instances": dataclasses.asdict(InstanceSettings()),
        "weights_sha256": sha,
        **more,
    }
    write_json(folder / MODEL_FILE, data)
    return folder


@pytest.mark.parametrize(
    ("more", "bf16"),
    [({"precision": "fp32"}, False), ({"precision": "bf16"}, True), ({}, cpu_has_bf16())],
)
def test_a_run_is_computed_in_the_precision_that_it_names(tmp_path, more, bf16):
    segmenter = load_run(finished_run(tmp_path, **more))
    described = json.loads(json.dumps(segmenter.describe()))
    assert described["bf16"] is bf16
    assert "folded" in described["engine"]
    image = np.random.default_rng(0).integers(0, 99, (1, 20, 20)).astype(np.uint8)
    notes = segmenter.segment(image[None], (1.0, 1.0, 1.0)).notes
    assert ("bfloat16" if bf16 else "float32") in notes[0]
    assert "folded" in notes[0]


def test_an_unknown_precision_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"precision: Input should be .auto."):
        load_run(finished_run(tmp_path, precision="fp8"))


def test_reusing_memory_may_be_nested():
    with reused_memory(), reused_memory():
        assert torch.ones(1_000_000).sum() == 1_000_000
