"""A few damaged files of every reader, the same in every run; `make fuzz` draws others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import ACCEPTED, REFUSED, Fuzzer


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_are_read_or_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "failures").mkdir()
    fuzzer = Fuzzer([name], 1, tmp_path / "work", tmp_path / "failures")
    fuzzer.run(inputs=40)
    why = "\n".join(path.read_text() for path in tmp_path.glob("failures/*/why.txt"))
    assert set(fuzzer.counts[name]) <= {ACCEPTED, REFUSED}, why
    assert fuzzer.counts[name][REFUSED] > 0
