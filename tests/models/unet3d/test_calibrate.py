"""Normalisation by the statistics of a whole stack."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.devices import Compute  # noqa: E402
from models.errors import CheckpointError  # noqa: E402
from models.runfolder import starter_folder  # noqa: E402
from models.tiling import Tiling  # noqa: E402
from models.unet3d.architecture import Architecture  # noqa: E402
from models.unet3d.calibrate import PATCHES, calibrated, worth_calibrating  # noqa: E402
from models.unet3d.checkpoint import fill, load_network, read_run  # noqa: E402
from models.unet3d.network import FreezingNorm, UNet3D, freeze_norms  # noqa: E402
from models.unet3d.predict import NetworkPredictor  # noqa: E402

FP32, PATCH = Compute("cpu", False), (4, 16, 16)


def network(norm="frozen"):
    torch.manual_seed(0)
    return UNet3D(Architecture((4, 8), ((1, 2, 2), (2, 2, 2)), norm)).eval()


def image(*shape):
    return np.random.default_rng(0).random((1, *shape), np.float32)


def test_a_stack_of_equal_patches_is_normalised_as_each_of_them():
    patch = image(*PATCH)
    stack = np.tile(patch, (1, 2, 4, 4))
    own, plain = calibrated(network(), stack, PATCH, FP32), network()
    x = torch.from_numpy(patch)[None]
    with torch.no_grad():
        # The running variance divides by one voxel less, which shows where there are few.
        torch.testing.assert_close(own(x), plain(x), rtol=0, atol=0.06)


def test_the_network_itself_stays_as_it_is():
    plain = network()
    before = {k: v.clone() for k, v in plain.state_dict().items()}
    calibrated(plain, image(8, 64, 64), PATCH, FP32)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(value, before[key])


def test_only_large_stacks_and_networks_that_need_it_are_calibrated():
    shape = (8, 96, 96)
    assert worth_calibrating(network(), shape, PATCH)
    assert not worth_calibrating(network(), (4, 32, 32), PATCH)
    assert not worth_calibrating(network("instance"), shape, PATCH)
    frozen = network()
    freeze_norms(frozen)
    assert not worth_calibrating(frozen, shape, PATCH)


def test_a_calibrated_stack_has_no_seams_and_the_user_is_told():
    predictor, stack, notes = NetworkPredictor(network(), network().architecture, FP32, PATCH), \
        image(8, 96, 96), []  # fmt: skip
    tiled = predictor.maps(stack, Tiling(tile=(8, 64, 64), overlap=0.5), notes=notes)
    whole = predictor.maps(stack, Tiling(tile=(8, 96, 96)))
    assert np.abs(tiled - whole).mean() < 0.003
    assert any(f"{PATCHES} patches" in note for note in notes)
    assert not any(m.frozen for m in predictor.network.modules() if isinstance(m, FreezingNorm))


def test_a_stack_of_few_patches_is_taken_whole():
    own = calibrated(network(), image(4, 20, 20), PATCH, FP32)
    assert all(m.frozen for m in own.modules() if isinstance(m, FreezingNorm))


@pytest.mark.parametrize("kept", [torch.inf, torch.nan])
def test_a_variance_that_was_too_large_to_be_kept_is_counted_anew(tmp_path, kept):
    plain = network()
    tensors = plain.state_dict() | {"merge.0.1.var": torch.full((4,), kept)}
    fill(plain, tensors, tmp_path)
    stack = image(8, 64, 64)
    own = calibrated(plain, stack, PATCH, FP32)
    with torch.no_grad():
        assert own(torch.from_numpy(stack)[None]).isfinite().all()
    frozen = tensors | {"merge.0.1.frozen": torch.tensor(True)}
    with pytest.raises(CheckpointError, match="finite weights"):
        fill(network(), frozen, tmp_path)


def test_the_shipped_network_can_be_calibrated():
    shipped = load_network(read_run(starter_folder("unet3d")))
    own = calibrated(shipped, image(8, 32, 32), (8, 32, 32), FP32)
    variances = [m.var for m in own.modules() if isinstance(m, FreezingNorm)]
    assert all(v.isfinite().all() for v in variances)
