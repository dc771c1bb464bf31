"""JSON with a checksum."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hitl.project.records import CHECKSUM, read_record, write_record

DATA = {"run": "a-0001", "values": [1.5, None, {"é": True}], "pair": (1, 2), "rows": {3: "x"}}


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    write_record(tmp_path / "a.json", DATA)
    assert read_record(tmp_path / "a.json") == json.loads(json.dumps(DATA))
    with pytest.raises(ValueError, match="JSON compliant"):
        write_record(tmp_path / "a.json", {"a": float("nan")})
    assert read_record(tmp_path / "a.json")["run"] == "a-0001"


def test_every_flipped_bit_is_harmless_or_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_record(file, DATA)
    expected, written = read_record(file), file.read_bytes()
    for bit in range(8 * len(written)):
        flipped = bytearray(written)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        try:
            found = read_record(file)
        except ValueError:
            continue
        # In the key of the checksum itself, all else is as it was.
        assert {key: found[key] for key in expected} == expected


def test_a_record_without_a_checksum_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1}')
    assert read_record(tmp_path / "a.json") == {"a": 1}
    (tmp_path / "a.json").write_text('{"a": 1, "' + CHECKSUM + '": "00"}')
    with pytest.raises(ValueError, match="checksum"):
        read_record(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(ValueError, match="mapping"):
        read_record(tmp_path / "a.json")
