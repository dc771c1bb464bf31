"""Every architecture as it is: true networks of segmentation-models-pytorch, small."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.errors import CheckpointError, ModelError, WeightsUnavailableError
from models.smp2d import SMP2DTrainer, load_run
from models.smp2d.architecture import SIDES, Arch, Architecture, Output, build_network
from models.smp2d.weights import fill_encoder
from tests.models.smp2d.cells import QUICK, SPACING, cells, samples, train

TINY = "tu-test_resnet"
OUTPUTS = (Output("nucleus", "instances"), Output("cytoplasm", "area"))


@pytest.mark.parametrize("arch", get_args(Arch))
def test_every_architecture_learns_and_segments(arch: str, tmp_path: Path) -> None:
    side = SIDES[arch].least
    result = train(tmp_path, samples(), arch=arch, patch_size=(side, side), epochs=1, batch_size=2)
    assert (result.epochs, result.steps, result.base) == (1, 2, "random")
    assert set(result.validation) >= {"loss", "dice_nucleus", "dice_cytoplasm"}
    run = load_run(tmp_path)
    image, *_ = cells(1, side=50)
    found = run.of_class("cytoplasm").segment(image, SPACING)
    assert found.labels.shape == (1, 50, 50) and found.labels.max() <= 1
    assert found.probability is not None and np.isfinite(found.probability).all()
    assert run.describe()["architecture"]["arch"] == arch


def test_the_usual_encoder_is_built_for_any_number_of_channels() -> None:
    network = build_network(Architecture("unet", "resnet18", OUTPUTS, "softmax", 5)).eval()
    assert network(torch.zeros(1, 5, 32, 32)).shape == (1, 4, 32, 32)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"arch": "unetplusplus", "patch_size": (100, 120)}, r"multiples of 32.*give \[96, 96\]"),
        (
            {"arch": "pan", "patch_size": (64, 64)},
            r"pan takes multiples of 16 from 128.*\[128, 128",
        ),
    ],
)
def test_a_patch_that_the_architecture_cannot_take_is_refused(options: dict, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        SMP2DTrainer(**options)


def test_an_unknown_encoder_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"unknown encoder 'resnet43'.*did you mean 'resnet34'"):
        train(tmp_path, samples(), encoder="resnet43")
    with pytest.raises(ModelError, match="does not go together with arch deeplabv3plus"):
        train(tmp_path, samples(), encoder="tu-test_mambaout", arch="deeplabv3plus")


def test_encoder_weights_come_from_a_file_whatever_the_channels(tmp_path: Path) -> None:
    donor = build_network(Architecture("fpn", TINY, OUTPUTS, "sigmoid", 3)).encoder.state_dict()
    given = {key.removeprefix("model."): tensor for key, tensor in donor.items()}
    save_file(given, tmp_path / "tiny.safetensors")
    network = build_network(Architecture("unet", TINY, OUTPUTS, "sigmoid", 2))
    assert (
        fill_encoder(network, TINY, str(tmp_path / "tiny.safetensors")).name == "tiny.safetensors"
    )
    own = network.encoder.state_dict()
    (first,) = [key for key in own if own[key].shape != donor[key].shape]
    torch.testing.assert_close(own[first], donor[first][:, :2] * 1.5)
    assert all(torch.equal(own[key], donor[key]) for key in own if key != first)
    result = train(tmp_path / "run", samples(), encoder_weights=str(tmp_path / "tiny.safetensors"))
    assert result.base == "encoder weights tiny.safetensors"


def test_weights_that_are_pickled_missing_or_of_another_encoder_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    network = build_network(Architecture("unet", TINY, OUTPUTS, "sigmoid", 3))
    with pytest.raises(WeightsUnavailableError, match=r"ends in \.safetensors.*unpickled"):
        fill_encoder(network, TINY, str(tmp_path / "weights.pth"))
    with pytest.raises(WeightsUnavailableError, match="not in Hugging Face's cache"):
        fill_encoder(network, "resnet18", "imagenet")
    with pytest.raises(WeightsUnavailableError, match="none of that name are published"):
        fill_encoder(network, "resnet18", "imagnet")
    with pytest.raises(CheckpointError, match="expected weights, got none"):
        fill_encoder(network, TINY, str(tmp_path / "gone.safetensors"))
    save_file({"conv1.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="weights of the encoder tu-test_resnet, got others"):
        fill_encoder(network, TINY, str(tmp_path / "other.safetensors"))


def test_weights_that_do_not_fit_the_run_are_refused(tmp_path: Path) -> None:
    train(tmp_path, samples(), epochs=1)
    file = tmp_path / "model.json"
    file.write_text(file.read_text().replace('"arch": "unet"', '"arch": "fpn"'))
    with pytest.raises(CheckpointError, match="same architecture, encoder and outputs"):
        load_run(tmp_path)
    file.write_text(file.read_text().replace(QUICK["encoder"], "tu-none"))
    with pytest.raises(CheckpointError, match="unknown encoder"):
        load_run(tmp_path)
