"""The `hitl.yaml` of a new project: read back as it was, and every key is explained."""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from hitl.cli import run
from hitl.project.config import ProjectConfig, load_config, parse_config
from hitl.project.config_text import commented
from hitl.project.presets import find_preset, presets_folder
from hitl.project.processing import EVERY_STEP, PreprocessStep
from hitl.project.yaml_text import parse_yaml

EXAMPLE = re.compile(r"^( *)#(?! \S)", re.MULTILINE)


def models_in(kind: Any) -> set[type[BaseModel]]:
    """A config's model, and those of all its parts."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        parts = (each.annotation for each in kind.model_fields.values())
        return {kind}.union(*map(models_in, parts))
    return set().union(*map(models_in, typing.get_args(kind)))


def uncommented(text: str) -> str:
    """The text after a person took away the # in front of all that is an example."""
    return EXAMPLE.sub(r"\1", text)


@pytest.mark.parametrize("path", sorted(presets_folder().rglob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_config_is_read_back(path: Path) -> None:
    config = load_config(path)
    assert parse_config(parse_yaml(commented(config))) == config


def test_what_a_person_made_empty_is_kept() -> None:
    data = {
        "classes": {"yes": {"preprocess": []}, "a": {"channels": ["1"], "mask_values": [3]}},
        "preprocess": [{"step": "project"}, {"step": "gamma", "gamma": 2}],
        "segmenters": {"cellpose": {}},
        "training": {"models": {"unet3d": {"base_run": None, "features": [4, 8]}}},
        "sweep": {"unet3d": {"seeds": [1, 2], "grids": [{"seed": [1]}]}},
    }
    config = parse_config(data)
    assert parse_config(parse_yaml(commented(config))) == config


def test_every_key_is_explained_in_the_line_before_it() -> None:
    text = commented(ProjectConfig())
    lines = [line.lstrip("# ") for line in text.splitlines()]
    keys = {key for model in models_in(ProjectConfig) for key in model.model_fields} - {"step"}
    for key in keys:
        (*_, place) = (n for n, line in enumerate(lines) if line.startswith(f"{key}:"))
        assert re.search(r"[a-z).]$", lines[place - 1]), key
        assert text.splitlines()[place - 1].lstrip(" #") != "", key
    joined = " ".join(lines)
    assert "whole number from 0 to 1000; default 1" in joined
    assert "keep | largest | split; default keep" in joined
    assert "number above 0 and below 0.6; default 0.2" in joined
    assert not [word for word in ("{}", "[]", "null", "None") if word in text]
    assert max(map(len, text.splitlines())) <= 100


def test_the_examples_are_valid_as_they_stand() -> None:
    text = commented(ProjectConfig())
    once = parse_config(parse_yaml(uncommented(text)))
    assert once.classes["golgi"].channels == ("GFP",)
    assert once.preprocess == EVERY_STEP
    assert once.segmenters and once.training.models and once.sweep
    assert parse_config(parse_yaml(text)) == ProjectConfig()


def test_there_is_an_example_of_every_step() -> None:
    kinds = typing.get_args(typing.get_args(PreprocessStep)[0])
    assert {type(step) for step in EVERY_STEP} == set(kinds)
    assert len(EVERY_STEP) == len(kinds)


def test_init_writes_it_and_no_verb_writes_it_again(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    assert run(["init", str(folder), "--config", "golgi"]) == 0
    file = folder / "hitl.yaml"
    assert load_config(file) == load_config(find_preset("golgi"))
    assert "# Who corrects, when a command does not say" in file.read_text(encoding="utf-8")
    mine = file.read_text(encoding="utf-8") + "\n# mine\n"
    file.write_text(mine, encoding="utf-8")
    for verb in (["status"], ["log"], ["gc"], ["bootstrap"], ["verify", "--deep"]):
        run([verb[0], str(folder), *verb[1:]])
    assert file.read_text(encoding="utf-8") == mine
