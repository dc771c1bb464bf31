"""`bootstrap` with options of its segmenter, and how its notes say that one is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotations.formats import write_image_tiff
from hitl.cli import run
from tests.hitl.fake_model import Bench, BrightSegmenter, make_bench, scene

Command = Callable[..., dict[str, Any]]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = make_bench(tmp_path, monkeypatch)
    made.add("learn", "train", labelled=False)
    return made


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A segmenter that asks for one of its options."""
    found = BrightSegmenter.segment
    monkeypatch.setattr(
        BrightSegmenter,
        "segment",
        lambda *given, **named: dataclasses.replace(
            found(*given, **named), notes=("too few; give smallest_um when there are more",)
        ),
    )


def test_options_given_once_are_used_and_kept_with_the_round(
    bench: Bench, command: Command
) -> None:
    config = (bench.project.folder / "hitl.yaml").read_text()
    command("bootstrap", bench.project.folder)
    everything = len(bench.store.labels("learn").objects)
    done = command("bootstrap", bench.project.folder, "--replace", "--set", "missing=small")
    (field,) = done["fields"]
    assert field["objects"] == len(bench.store.labels("learn").objects) < everything
    assert len(np.unique(bench.store.labels("learn").labels[...])) - 1 == field["objects"]
    first, second = bench.store.rounds()
    assert first.config["segmenters"] == {}
    assert second.config["segmenters"] == {"bright": {"missing": "small"}}
    assert second.model is not None and second.model.settings["missing"] == "small"
    assert (bench.project.folder / "hitl.yaml").read_text() == config


def test_options_stand_over_those_of_the_config(bench: Bench, command: Command) -> None:
    file = bench.project.folder / "hitl.yaml"
    file.write_text(file.read_text() + "\nsegmenters: {bright: {missing: all, shrink: 1}}\n")
    command("bootstrap", bench.project.folder, "--set", "missing=nothing")
    (entry,) = bench.store.rounds()
    assert entry.config["segmenters"] == {"bright": {"missing": "nothing", "shrink": 1}}
    assert len(bench.store.labels("learn").objects)


def test_a_note_says_how_its_option_is_given_to_this_verb(
    bench: Bench, asking: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bootstrap", str(bench.project.folder)]) == 0
    told = "give segmenters.bright.smallest_um in hitl.yaml when there are more"
    assert f"note: learn: too few; {told}" in capsys.readouterr().err
    write_image_tiff(tmp_path / "a.tif", scene()[0], (2.0, 1.0, 1.0))
    files = [str(tmp_path / name) for name in ("a.tif", "found.tif")]
    assert run(["segment", *files, "--segmenter", "bright"]) == 0
    assert "note: too few; give --set smallest_um=… when there" in capsys.readouterr().err
