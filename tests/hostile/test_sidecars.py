"""The small file beside exported labels, in which anybody may have written anything."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hitl.cli import run
from tests.hostile.projects import good_labels

BAD: dict[str, Any] = {
    "of another version": {"hitl_export": 1},
    "without a version": {"hitl_export": None},
    "without a round's number": {"round": "0"},
    "of round -1": {"round": -1},
    "of round 1e300": {"round": 1e300},
    "of round 10**18": {"round": 10**18, "snapshot": "GONE"},
    "of an unknown state": {"snapshot": "0" * 20},
    "of a state with a path": {"snapshot": "../../etc/passwd"},
    "of a state that is a list": {"snapshot": ["a"]},
    "of no state": {"snapshot": ""},
    "of another field": {"field": "t"},
    "of a field that is a path": {"field": "../s"},
    "of a field in colours": {"field": "\x1b[31ms\n"},
    "of another image": {"slices": "00" * 16},
    "of a format that is a number": {"format": 7},
    "with rounds that are texts": {"imported": "ab"},
    "with rounds of one state": {"imported": [["a"]]},
    "with rounds of unknown states": {"imported": [["a", "b"]] * 1000},
    "with ids that are texts": {"ids": ["a"]},
    "with a shape of texts": {"shape_zyx": ["a", 1, 1]},
    "with a voxel size of lists": {"spacing_um": [[], [], []]},
}


def with_round(text: str) -> Callable[[str], bytes]:
    return lambda good: good.replace('"round": 0', f'"round": {text}').encode()


TEXTS: dict[str, Callable[[str], bytes]] = {
    "empty": lambda good: b"",
    "cut": lambda good: good[: len(good) // 2].encode(),
    "a list": lambda good: b"[1, 2]",
    "a word": lambda good: b'"hitl"',
    "nothing": lambda good: b"null",
    "no text": lambda good: bytes(range(256)),
    "UTF-16": lambda good: good.encode("utf-16"),
    "with a NUL": lambda good: good.encode() + b"\0",
    "lists in lists": lambda good: b"[" * 100_000 + b"]" * 100_000,
    "mappings in mappings": lambda good: b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "a number of 5,000 digits": lambda good: good.replace(
        '"round": 0', '"round": ' + "9" * 5000
    ).encode(),
    "NaN": with_round("NaN"),
    "infinity": with_round("1e999"),
    "a key twice": with_round('0, "round": 1'),
    "half a surrogate pair": lambda good: good.replace(
        '"field": "s"', '"field": "\\ud800"'
    ).encode(),
    "100 MB": lambda good: b" " * (100 << 20),
}


@pytest.fixture
def exported(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Labels that were exported and corrected; their sidecar is beside them."""
    assert run(["export", str(project), "s", str(tmp_path / "out")]) == 0
    (found,) = (tmp_path / "out").glob("*labels.tif")
    found.unlink()
    return good_labels(found)


def beside(labels: Path) -> Path:
    return labels.with_name(labels.name + ".hitl.json")


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_sidecar_that_says_what_cannot_be(
    refused: Callable[..., str], project: Path, exported: Path, bad: dict[str, Any]
) -> None:
    sidecar = beside(exported)
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), **bad}))
    assert exported.name in refused("import", project, "s", exported, "--annotator=anna")


def test_a_sidecar_that_tells_of_one_round_without_end(
    refused: Callable[..., str], project: Path, exported: Path
) -> None:
    sidecar = beside(exported)
    found = json.loads(sidecar.read_text())
    found["imported"] = [[found["snapshot"]] * 2] * 100_000
    sidecar.write_text(json.dumps(found))
    assert "twice" in refused("import", project, "s", exported, "--annotator=anna")


@pytest.mark.parametrize("make", TEXTS.values(), ids=TEXTS)
def test_a_sidecar_that_is_none(
    refused: Callable[..., str], project: Path, exported: Path, make: Callable[[str], bytes]
) -> None:
    sidecar = beside(exported)
    sidecar.write_bytes(make(sidecar.read_text()))
    assert sidecar.name in refused("import", project, "s", exported, "--annotator=anna")


def test_a_sidecar_that_leads_elsewhere(
    refused: Callable[..., str], project: Path, exported: Path, tmp_path: Path
) -> None:
    moved = beside(exported).rename(tmp_path / "moved.json")
    beside(exported).symlink_to(moved)
    assert "link" in refused("import", project, "s", exported, "--annotator=anna")


def test_a_pipe_in_the_place_of_a_sidecar_is_none(project: Path, exported: Path) -> None:
    beside(exported).unlink()
    os.mkfifo(beside(exported))
    assert run(["import", str(project), "s", str(exported), "--annotator=anna"]) == 0
