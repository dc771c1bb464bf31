"""What is finished takes a free name, and nobody else's."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from annotations.errors import FormatError
from annotations.formats.new_file import move_new, new_file


def make(path: Path, text: str, *, folder: bool) -> Path:
    if folder:
        path.mkdir()
    (path / "inside" if folder else path).write_text(text)
    return path


def text_of(path: Path) -> str:
    return (path / "inside" if path.is_dir() else path).read_text()


@pytest.fixture(params=["file", "folder", "without links"])
def folder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether folders are moved; and files on a disk that knows no second names."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if request.param == "without links":
        monkeypatch.setattr(os, "link", refuse)
    return bool(request.param == "folder")


def test_a_free_name_is_taken_and_a_taken_one_stays(tmp_path: Path, folder: bool) -> None:
    target = tmp_path / "target"
    move_new(make(tmp_path / "a", "first", folder=folder), target)
    assert text_of(target) == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    other = make(tmp_path / "b", "second", folder=folder)
    with pytest.raises(FileExistsError):
        move_new(other, target)
    assert (text_of(target), text_of(other)) == ("first", "second")


def test_of_many_at_once_one_gets_the_name(tmp_path: Path, folder: bool) -> None:
    for attempt in range(20):
        target = tmp_path / f"target{attempt}"
        sources = [make(tmp_path / f"{attempt}-{i}", str(i), folder=folder) for i in range(4)]
        won = at_once([partial(move_new, source, target) for source in sources])
        assert won.count(True) == 1
        assert text_of(target) == str(won.index(True))
        assert [source.exists() for source in sources] == [not taken for taken in won]


def at_once(works: list[Callable[[], None]]) -> list[bool]:
    """Whether each did its work; those that did not found the name taken."""
    gate, done = threading.Barrier(len(works)), [False] * len(works)

    def run(i: int) -> None:
        gate.wait()
        try:
            works[i]()
        except FileExistsError:
            return
        done[i] = True

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


def test_a_move_that_fails_leaves_no_claim(
    tmp_path: Path, folder: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(tmp_path / "a", "mine", folder=folder)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(Path, "replace", full)
    if os.link.__name__ == "link":
        monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError, match="No space left"):
        move_new(source, tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_file_that_came_while_another_was_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with (
        pytest.raises(FormatError, match=r"a\.tif: exists already"),
        new_file(path, (".tif",)) as part,
    ):
        part.write_text("mine")
        path.write_text("theirs")
    assert path.read_text() == "theirs"
    with new_file(path, (".tif",), overwrite=True) as part:
        part.write_text("mine")
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]
