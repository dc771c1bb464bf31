"""JSON out of files: what Python would take and JSON has not is refused, in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.files import UnfitFileError
from labels.json_files import DEEPEST, MOST_VALUES, JsonError, parse_json, read_json

ODD = {
    "empty": b"",
    "a word": b"abc",
    "truncated": b'{"a": [1, 2',
    "more than one": b"{} {}",
    "NaN": b'{"a": NaN}',
    "infinity": b"[Infinity]",
    "minus infinity": b"[-Infinity]",
    "too large for a float": b"[1e999]",
    "5,000 digits": b"[" + b"9" * 5000 + b"]",
    "100 digits": b"[" + b"9" * 100 + b"]",
    "a key twice": b'{"a": 1, "a": 2}',
    "100,000 open lists": b"[" * 100_000,
    "900 lists": b"[" * 900 + b"]" * 900,
    "as deep as is refused": b"[" * DEEPEST + b"[]" + b"]" * DEEPEST,
    "mappings": b'{"a":' * 500 + b"1" + b"}" * 500,
    "not UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "half a surrogate pair": b'["\\ud800"]',
    "half a surrogate pair, as a key": b'{"\\uDFFF": 1}',
    "NUL": b'["\0"]',
    "too many values": b"[" + b"0," * MOST_VALUES + b"0]",
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_what_is_no_json_is_told_in_one_line(text: bytes) -> None:
    with pytest.raises(JsonError) as refused:
        parse_json(text)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 200


@settings(max_examples=50)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(codec="utf-8")),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_all_that_is_json_is_read(data: object) -> None:
    assert parse_json(json.dumps(data).encode()) == data


def test_a_whole_surrogate_pair_is_a_letter() -> None:
    assert parse_json(b'["\\ud83d\\ude00"]') == ["\U0001f600"]


def test_what_is_no_plain_file_is_not_read(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside.json", tmp_path / "project"
    outside.write_text("{}")
    folder.mkdir()
    (folder / "inside.json").write_text('{"a": 1}')
    (folder / "out.json").symlink_to(outside)
    (folder / "in.json").symlink_to("inside.json")
    (folder / "folder.json").mkdir()
    os.mkfifo(folder / "pipe.json")
    assert read_json(folder / "in.json") == {"a": 1}
    assert read_json(folder / "out.json", linked=True) == {}
    for name, why in (("out", "a link"), ("folder", "no file"), ("pipe", "no file")):
        with pytest.raises(UnfitFileError, match=why):
            read_json(folder / f"{name}.json")
    with pytest.raises(UnfitFileError, match=r"8 bytes, where at most 7"):
        read_json(folder / "inside.json", 7)
    with pytest.raises(FileNotFoundError):
        read_json(folder / "none.json")
