"""The shape of the code that no import tells; what may import what stands in `pyproject.toml`."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST_LINES = 400


def test_hitl_holds_rooms_only():
    assert [path.name for path in (ROOT / "hitl").glob("*.py")] == ["__init__.py"]


@pytest.mark.parametrize("folder", ["hitl", "annotations", "models", "labels", "scripts", "tests"])
def test_no_module_is_long(folder):
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / folder).rglob("*.py")
    }
    assert lines
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}
