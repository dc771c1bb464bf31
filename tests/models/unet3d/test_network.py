"""The network's shape, and what follows from the voxel size."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from models.errors import CheckpointError  # noqa: E402
from models.runfolder import described  # noqa: E402
from models.unet3d.architecture import Architecture, pooling_for, round_to  # noqa: E402
from models.unet3d.network import InstanceNorm, UNet3D  # noqa: E402


def test_the_default_has_the_source_s_number_of_parameters():
    with torch.device("meta"):
        network = UNet3D(Architecture((64, 128, 256), ((1, 2, 2), (1, 2, 2), (2, 2, 2))))
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 1) == 22.4


@pytest.mark.parametrize(
    ("spacing", "patch", "expected"),
    [
        ((5.0, 1.243, 1.243), (21, 512, 512), ((1, 2, 2), (1, 2, 2), (2, 2, 2))),
        ((0.2837, 0.1276, 0.1276), (32, 96, 96), ((1, 2, 2), (2, 2, 2), (2, 2, 2))),
        ((1.0, 1.0, 1.0), (32, 32, 32), ((2, 2, 2),) * 3),
        ((1.0, 1.0, 1.0), (1, 64, 64), ((1, 2, 2),) * 3),
        ((1.0, 1.0, 1.0), (5, 64, 64), ((2, 2, 2), (1, 2, 2), (1, 2, 2))),
    ],
)
def test_pooling_brings_voxels_nearer_to_cubes(spacing, patch, expected):
    assert pooling_for(spacing, patch, 3) == expected


@settings(max_examples=15, deadline=None)
@given(
    features=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    ratio=st.sampled_from([0.5, 1.0, 2.2, 4.0]),
    norm=st.sampled_from(["frozen", "instance", "batch", "group"]),
    extra=st.tuples(*[st.integers(1, 2)] * 3),
)
def test_output_has_the_input_s_size(features, ratio, norm, extra):
    pooling = pooling_for((ratio, 1.0, 1.0), (8, 16, 16), len(features))
    architecture = Architecture(tuple(2 * f for f in features), pooling, norm)
    size = tuple(m * e for m, e in zip(architecture.multiple, extra, strict=True))
    network = UNet3D(architecture).eval()
    with torch.no_grad():
        out = network(torch.randn(1, 1, *size))
    assert out.shape == (1, 5, *size)
    assert torch.isfinite(out).all()


def test_instance_norm_is_torch_s():
    ours, theirs = InstanceNorm(6), torch.nn.InstanceNorm3d(6, affine=True)
    with torch.no_grad():
        for p in (*ours.parameters(), *theirs.parameters()):
            p.copy_(torch.linspace(0.5, 2, 6))
    x = torch.randn(3, 6, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(x), theirs(x))


def test_one_patch_does_not_see_another():
    network = UNet3D(Architecture((4,), ((1, 2, 2),))).train()
    x = torch.randn(2, 1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(network(x)[:1], network(x[:1]))


def test_an_untrained_network_answers_with_the_frequencies():
    network = UNet3D(Architecture((4,), ((1, 2, 2),))).eval()
    network.start_at((0.9, 0.02, 0.08), 0.1, 0.05)
    with torch.no_grad():
        network.out.weight.zero_()
        out = network(torch.randn(1, 1, 2, 8, 8))
    shares = torch.softmax(out[:, :3], 1).mean((0, 2, 3, 4))
    torch.testing.assert_close(shares, torch.tensor([0.9, 0.02, 0.08]))
    heads = torch.sigmoid(out[:, 3:]).mean((0, 2, 3, 4))
    torch.testing.assert_close(heads, torch.tensor([0.1, 0.05]))


def test_architecture_survives_json_and_refuses_what_is_not_one():
    architecture = Architecture((4, 8), ((1, 2, 2), (2, 2, 2)), "batch")
    where = Path("run/model.json")
    assert described(Architecture, asdict(architecture), where) == architecture
    odd = [[4]], [[4], [[1, 2, 2]] * 2], [[1e6], [[2, 2, 2]]], [["4"], [[2, 2, 2]]]
    for values in odd:
        with pytest.raises(CheckpointError, match=r"run/model.json: expected what training"):
            described(Architecture, dict(zip(("features", "pooling"), values, strict=False)), where)


def test_rounding_never_gives_nothing():
    assert round_to((3, 50, 7), (2, 8, 8), up=False) == (2, 48, 8)
    assert round_to((3, 50, 7), (2, 8, 8), up=True) == (4, 56, 8)
