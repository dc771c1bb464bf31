"""Labelings whose list of names is anybody's JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from annotations.formats import write_labels_tiff
from tests.annotations.store_sources import SPACING_UM, boxes

NONE: list[list[str]] = [[], ["a"], ["b"], [], [], [], [], ["c"]]


def listed(sets: object) -> bytes:
    return json.dumps({"labelSets": sets}).encode()


LISTS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "a list": lambda: b"[]",
    "null": lambda: b"null",
    "no list of labels": lambda: b"{}",
    "an empty list of labels": lambda: listed([]),
    "labels that are a text": lambda: listed("abc"),
    "labels that are numbers": lambda: listed([[1], [2]]),
    "labels in labels": lambda: listed([[["a"]]] * 9),
    "fewer labels than there are": lambda: listed(NONE[:7]),
    "an id of 0": lambda: listed([*NONE[:7], ["0"]]),
    "an id above 2**32": lambda: listed([*NONE[:7], ["4294967296"]]),
    "an id of 5,000 digits": lambda: listed([*NONE[:7], ["9" * 5000]]),
    "no ids left": lambda: listed([*NONE[:7], ["4294967295"]]),
    "a number of 5,000 digits": lambda: b'{"labelSets": [[' + b"9" * 5000 + b"]]}",
    "NaN": lambda: b'{"labelSets": NaN}',
    "lists in lists": lambda: b'{"labelSets": ' + b"[" * 100_000,
    "mappings in mappings": lambda: b'{"labelSets": ' + b'{"a": ' * 100_000,
    "a key twice": lambda: b'{"labelSets": [], "labelSets": []}',
    "5,000,000 labels": lambda: b'{"labelSets": [' + b"[]," * 5_000_000 + b"[]]}",
    "70 MB of spaces": lambda: b" " * (70 << 20),
    "no text": lambda: bytes(range(128, 256)),
    "half a surrogate pair": lambda: b'{"labelSets": [["\\ud800"]]}',
}


@pytest.mark.parametrize("make", LISTS.values(), ids=LISTS)
def test_a_list_that_is_none(
    refused: Callable[..., str], project: Path, tmp_path: Path, make: Callable[[], bytes]
) -> None:
    file = tmp_path / "s.tif"
    write_labels_tiff(file, boxes(), SPACING_UM)
    (tmp_path / "s.tif.labels").write_bytes(make())
    assert str(file) in refused("import", project, "s", file, "--annotator=anna")


def test_a_pipe_in_the_place_of_the_list(
    refused: Callable[..., str], project: Path, tmp_path: Path
) -> None:
    """It is no list, so the file is read as what it is."""
    file = tmp_path / "s.tif"
    write_labels_tiff(file, boxes()[:, :, :9], SPACING_UM)
    os.mkfifo(tmp_path / "s.tif.labels")
    assert str(file) in refused("import", project, "s", file, "--annotator=anna")
