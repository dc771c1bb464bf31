"""A project whose model is trained in no time, and `hitl sweep` on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hitl.cli import run
from tests.hitl.fake_model import Bench, make_bench
from tests.hitl.training.sweep.fake_trainer import FakeTrainer, Sweeper, add


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A project with one field to learn from, and a model that is trained in no time."""
    monkeypatch.setattr(FakeTrainer, "trained", [])
    monkeypatch.setattr(FakeTrainer, "stop_at", None)
    made = make_bench(tmp_path, monkeypatch)
    add(made, "learn", "train")
    return made


@pytest.fixture
def sweep(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Sweeper:
    """Run `hitl sweep` on the bench's project; give what it prints as JSON."""

    def call(*arguments: str, code: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        got = run(["sweep", str(bench.project.folder), "fake", *arguments, "--json"])
        printed = capsys.readouterr()
        assert got == code, printed.err
        if code:
            assert printed.out == ""
            return {"said": printed.err}
        result: dict[str, Any] = json.loads(printed.out)
        return result

    return call
