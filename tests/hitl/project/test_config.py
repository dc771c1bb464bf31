"""Configurations: every shipped one validates, and errors say what is valid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
from annotated_types import Gt

from hitl.project.config import (
    ProjectConfig,
    dump_config,
    load_config,
    parse_config,
    segmenter_options,
    trainer_options,
)
from hitl.project.errors import ConfigError
from hitl.project.options import parse_settings
from hitl.project.presets import find_preset, preset_names, presets_folder
from hitl.project.schema import resolve_options
from models.errors import UnknownModelError
from models.registry import models_with


@dataclass(frozen=True, kw_only=True)
class Options:
    width: Annotated[int, Gt(0)] = 3
    kind: Literal["a", "b"] = "a"
    sizes: tuple[int, ...] = (1, 2)
    limit: float | None = None


@pytest.mark.parametrize("path", sorted(presets_folder().rglob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_yaml_validates_and_survives_a_round_trip(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    (tmp_path / "again.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "again.yaml") == config


def test_a_new_project_s_config_has_no_empty_sections(tmp_path: Path) -> None:
    text = dump_config(ProjectConfig())
    assert "{}" not in text and "[]" not in text and "null" not in text
    assert text.startswith("store: store\nannotator: ''\nbootstrap:\n  segmenter: auto\n")


def test_what_a_person_made_empty_is_kept(tmp_path: Path) -> None:
    data = {
        "classes": {"a": {"preprocess": []}},
        "segmenters": {"cellpose": {}},
        "training": {"models": {"unet3d": {"base_run": None}}},
        "sweep": {"unet3d": {"grids": [{"seed": [1]}]}},
    }
    config = parse_config(data)
    (tmp_path / "a.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "a.yaml") == config
    assert "seeds" not in dump_config(config)


def test_presets_are_found_by_name_and_unknown_ones_listed() -> None:
    assert "demo" in preset_names()
    assert find_preset("demo").is_file()
    with pytest.raises(ConfigError, match="demo"):
        find_preset("nowhere")


def test_options_follow_the_dataclass() -> None:
    assert resolve_options(Options, {"sizes": [4, 5]}, "here") == {
        "width": 3,
        "kind": "a",
        "sizes": (4, 5),
        "limit": None,
    }
    with pytest.raises(ConfigError, match=r"here: unknown key 'widht': did you mean 'width'"):
        resolve_options(Options, {"widht": 4}, "here")
    with pytest.raises(ConfigError, match=r"width: expected more than 0, got -1"):
        resolve_options(Options, {"width": -1}, "here")
    with pytest.raises(ConfigError, match=r"kind: .*'a' or 'b'"):
        resolve_options(Options, {"kind": "c"}, "here")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"postproces": {}}, "did you mean 'postprocess'"),
        ({"bootstrap": {"segmentr": "classical"}}, "did you mean 'segmenter'"),
        ({"preprocess": [{"step": "gamma", "gama": 2}]}, "did you mean 'gamma'"),
        ({"preprocess": [{"step": "nonsense"}]}, "to_uint8"),
        ({"bootstrap": {"segmenter": "celpose"}}, "did you mean 'cellpose'"),
        ({"segmenters": {"clasical": {}}}, "did you mean 'classical'"),
        ({"segmenters": {"cellpose": {"diametre_um": 9}}}, "did you mean 'diameter_um'"),
        ({"training": {"models": {"unet": {}}}}, "did you mean 'unet3d'"),
        ({"training": {"models": {"unet3d": {"feature": [4]}}}}, "did you mean 'features'"),
        ({"training": {"validation_share": 0.9}}, "less than 0.6, got 0.9"),
    ],
)
def test_a_wrong_config_is_refused_with_what_is_valid(data: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse_config(data)
    assert "\n" not in str(caught.value)


def test_yaml_is_read_safely(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    marker = tmp_path / "ran"
    file.write_text(f"store: !!python/object/apply:pathlib.Path.touch ['{marker}']\n")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(file)
    assert not marker.exists()
    file.write_text("store: a\nstore: b\n")
    with pytest.raises(ConfigError, match="'store' is given twice"):
        load_config(file)
    file.write_text("- a\n")
    with pytest.raises(ConfigError, match="expected keys and values, got list"):
        load_config(file)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "missing.yaml")


def test_settings_are_typed_like_yaml() -> None:
    assert parse_settings(["epochs=5", "features=[4, 8]", "base_run=null", "loss=iou"]) == {
        "epochs": 5,
        "features": [4, 8],
        "base_run": None,
        "loss": "iou",
    }
    with pytest.raises(ConfigError, match="expected key=value"):
        parse_settings(["epochs"])
    with pytest.raises(ConfigError, match="cannot be read"):
        parse_settings(["a=[1"])


@pytest.mark.parametrize("name", models_with("segmenter"))
def test_every_segmenter_has_valid_defaults(name: str) -> None:
    assert segmenter_options(ProjectConfig(), name)


@pytest.mark.parametrize("name", models_with("trainer"))
def test_every_trainer_has_valid_defaults_and_takes_settings(name: str) -> None:
    assert trainer_options(ProjectConfig(), name, {"seed": 7})["seed"] == 7


def test_an_unknown_trainer_is_refused() -> None:
    with pytest.raises(UnknownModelError, match="did you mean 'unet3d'"):
        trainer_options(ProjectConfig(), "unet2d")
