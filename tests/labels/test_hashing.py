"""Digests of files, folders and values keep the value that was written down."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from labels.hashing import file_sha256, source_sha256, values_sha256


def test_a_file_is_hashed_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    assert source_sha256(tmp_path / "a") == file_sha256(tmp_path / "a")


def test_a_folder_is_hashed_with_the_names_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b").write_bytes(b"b")
    (tmp_path / "a").write_bytes(b"a")
    lines = "".join(
        f"{name}\0{hashlib.sha256(content).hexdigest()}\n"
        for name, content in (("a", b"a"), ("in/b", b"b"))
    )
    assert source_sha256(tmp_path) == hashlib.sha256(lines.encode()).hexdigest()
    assert source_sha256(tmp_path / "none") is None


def test_values_are_hashed_in_a_row() -> None:
    array = np.arange(6, dtype=np.uint16).reshape(2, 3)
    expected = hashlib.sha256(b"name|" + repr((1, "x")).encode() + array.T.tobytes())
    assert values_sha256("name|", (1, "x"), array.T) == expected.hexdigest()
