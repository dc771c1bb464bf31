"""Run folders whose descriptions are damaged: one line, before a network is built."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.damages import DAMAGES, DROP, edited
from tests.hostile.run_folders import place, segmented, whole

__all__ = ["place", "segmented", "whole"]

FILES = [
    ("unet3d", "model.json"),
    ("stardist3d", "model.json"),
    ("stardist3d", "config.json"),
    ("stardist3d", "thresholds.json"),
]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize(("model", "file"), FILES, ids=["-".join(file) for file in FILES])
def test_a_damaged_description(
    place: Path,
    segmented: Callable[[str], str],
    model: str,
    file: str,
    damage: Callable[[Path], None],
) -> None:
    damage(place / model / file)
    segmented(model)


WRONG: list[tuple[str, str, dict[str, Any]]] = [
    *(
        ("unet3d", "model.json", values)
        for values in (
            {"spacing_um": [1e-3, 1e-3, 1e-3]},
            {"spacing_um": [float("nan"), 1, 1]},
            {"spacing_um": [0, 1, 1]},
            {"spacing_um": [-1, 1, 1]},
            {"spacing_um": [1e9, 1, 1]},
            {"spacing_um": [1e4, 1e4, 1e4]},
            {"spacing_um": ["1", "1", "1"]},
            {"spacing_um": [1, 1]},
            {"spacing_um": None},
            {"patch_size": [0, 16, 16]},
            {"patch_size": [10**9, 16, 16]},
            {"patch_size": "4"},
            {"percentiles": [99, 1]},
            {"percentiles": [float("nan"), 99]},
            {"percentiles": [1, 200]},
            {"architecture__features": [10**6, 10**6]},
            {"architecture__features": [8192, 8192]},
            {"architecture__features": ["2", "4"]},
            {"architecture__features": [2] * 1000},
            {"architecture__features": []},
            {"architecture__pooling": [[0, 2, 2], [1, 2, 2]]},
            {"architecture__pooling": [[1, 2, 2]]},
            {"architecture__norm": "strange"},
            {"architecture__channels": 10**9},
            {"architecture__channels": 3},
            {"architecture": [1]},
            {"instances__foreground": 2},
            {"instances__method": "guess"},
            {"instances__depth": float("inf")},
            {"instances__min_volume_um3": -1},
            {"instances": 3},
            {"precision": "fp8"},
            {"weights_sha256": "00"},
            {"weights_sha256": 3},
            {"format": 99},
            {"format": [[]]},
            {"model": "stardist3d"},
            {"model": {}},
            {"instances": DROP},
        )
    ),
    *(
        ("stardist3d", "config.json", values)
        for values in (
            {"rays_json": {"name": "Rays_GoldenSpiral", "kwargs": {"n": 10**8}}},
            {"rays_json": {"name": "Rays_GoldenSpiral", "kwargs": {"n": -1}}},
            {"rays_json": {"name": "Rays_Octo", "kwargs": {"n_level": 40}}},
            {"rays_json": {"name": "__import__('os').system", "kwargs": {}}},
            {"rays_json": "Rays_Octo"},
            {
                "rays_json": {
                    "name": "Rays_Explicit",
                    "kwargs": {"vertices0": [[1, 0, 0]] * 4, "faces0": [[0, 1, 99]] * 4},
                }
            },
            {"rays_json": DROP},
            {"n_rays": 10**8},
            {"grid": [3, 3, 3]},
            {"grid": [2**30, 1, 1]},
            {"grid": [0, 1, 1]},
            {"anisotropy": [0, 1, 1]},
            {"backbone": "strange"},
            {"unet_n_depth": 10**6},
            {"unet_n_filter_base": 10**9},
            {"unet_n_filter_base": "16"},
            {"unet_kernel_size": [99, 99, 99]},
            {"unet_n_conv_per_depth": 10**6},
            {"unet_pool": [0, 0, 0]},
            {"unet_activation": {"class_name": "Lambda", "config": {}}},
            {"unet_expansion": 1000},
            {"net_conv_after_unet": 10**9},
            {"n_channel_in": 10**6},
            {"n_classes": 10**6},
        )
    ),
    *(
        ("stardist3d", "thresholds.json", values)
        for values in (
            {"prob": float("nan")},
            {"prob": 2},
            {"prob": -1},
            {"nms": None},
            {"nms": "0.3"},
            {"nms": [0.3]},
            {"prob": DROP},
            {"prob": True},
        )
    ),
    *(
        ("stardist3d", "model.json", values)
        for values in (
            {"spacing_um": [0, 1, 1]},
            {"spacing_um": [float("nan"), 1, 1]},
            {"normalisation": {"low": float("nan"), "high": 99}},
            {"normalisation": {"low": 99, "high": 1}},
            {"normalisation": 3},
            {"diameter_um": -1},
            {"base": None},
            {"stack_spacing_um": [1]},
            {"model": "unet3d"},
        )
    ),
]


@pytest.mark.parametrize(("model", "file", "values"), WRONG, ids=lambda each: str(each)[:90])
def test_a_description_with_a_value_that_is_none(
    place: Path, segmented: Callable[[str], str], model: str, file: str, values: dict[str, Any]
) -> None:
    edited(place / model / file, **values)
    segmented(model)


CONFIGS: dict[str, str] = {
    "empty": "",
    "text": "abc",
    "a list": "- a",
    "no model": "preprocess: {}",
    "a model that is none": "{model: strange, preprocess: {}}",
    "a list for a model": "{model: [unet3d], preprocess: {}}",
    "a mapping for a model": "{model: {a: 1}, preprocess: {}}",
    "a date for a model": "{model: 2020-01-01, preprocess: {}}",
    "a number for a model": "{model: 1, preprocess: {}}",
    "steps that are none": "{model: unet3d, preprocess: []}",
    "a step that is none": "{model: unet3d, preprocess: {nuclei: [{step: strange}]}}",
    "a step without light": "{model: unet3d, preprocess: {a: [{step: gamma, gamma: 0}]}}",
    "a step that is a number": "{model: unet3d, preprocess: {nuclei: [1]}}",
    "a set": "{model: unet3d, preprocess: !!set {a}}",
    "code": "!!python/object/apply:os.system [true]",
    "lists without end": "[" * 5000,
    "a number without end": f"model: {'9' * 5000}",
    "not UTF-8": "model: \udcff",
    "too large": "# " + "x" * 200_000,
}


@pytest.mark.parametrize("text", CONFIGS.values(), ids=CONFIGS)
def test_a_run_with_a_damaged_config(
    place: Path, segmented: Callable[[str], str], text: str
) -> None:
    (place / "unet3d" / "config.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    segmented("unet3d")
