"""What `hitl add` is asked for: what does not go together is wrong usage."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from hitl.cli import run
from hitl.labelling.requests import AddRequest
from hitl.project.errors import UsageError

ONE = {"images": (Path("a.tif"),)}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"along": "times"}, "--along is for several files, got one"),
        ({"channel": "GFP", "classes": (("a", ("0",)),)}, "not both"),
        ({"time_step_s": 0.0}, "--time-step-s: expected seconds above 0, got 0.0"),
        ({"time_step_s": -1.0}, "expected seconds above 0, got -1.0"),
        ({"time_step_s": math.nan}, "expected seconds above 0, got nan"),
        ({"time_step_s": math.inf}, "expected seconds above 0, got inf"),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        AddRequest(**ONE, **options)


def test_what_goes_together_is_taken() -> None:
    AddRequest(**ONE, channel="GFP", classes=(("a", ()),), time_step_s=1800.0)
    AddRequest(images=(Path("a.tif"), Path("b.tif")), along="times")


@pytest.mark.parametrize("word", ["well", "=3"])
def test_wrong_words_end_in_one_line(
    word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["add", str(tmp_path), "a.tif", "--meta", word]) == 1
    printed = capsys.readouterr()
    assert f"--meta {word}: expected key=value" in " ".join(printed.err.split())
    assert "Traceback" not in printed.err
