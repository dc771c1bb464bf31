"""The benchmarks can be run: they call the code as it is."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import scripts
from scripts.bench_rounds import measure

NAMES = sorted(path.stem for path in Path(scripts.__path__[0]).glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_every_script_finds_what_it_imports(name: str) -> None:
    assert importlib.import_module(f"scripts.{name}").__doc__


def test_a_round_is_measured() -> None:
    figures = measure((16, 256, 256), (4, 16, 16), 1)
    # 16 × 256 × 256 voxels are four chunks of labels, and four of verified voxels.
    assert figures["chunks"] == [8]
    assert figures["commit"][0] > 0 and figures["stored"][0] > 0
