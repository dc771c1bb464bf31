"""Where a model computes, and in which number format."""

from __future__ import annotations

import pytest
import torch

from models.devices import choose_compute


@pytest.mark.parametrize(
    ("capabilities", "predicts", "trains"),
    [
        ({}, False, False),
        ({"amx_bf16": True, "avx512_bf16": True}, True, True),
        # Weight gradients of small 3D convolutions were NaN there, now and then.
        ({"amx_bf16": False, "avx512_bf16": True}, True, False),
    ],
)
def test_bfloat16_is_taken_where_it_is_right(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], predicts: bool, trains: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert choose_compute(device="cpu").bf16 is predicts
    assert choose_compute(device="cpu", training=True).bf16 is trains
    assert choose_compute("bf16", "cpu", training=True).bf16
