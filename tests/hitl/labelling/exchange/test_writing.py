"""The files of an export: all or none, and nobody else's is overwritten."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path
from typing import Any

import pytest

from hitl.labelling.exchange.errors import ExchangeError
from hitl.labelling.exchange.writing import new_folder_files

NAMES = ("cells.ome.zarr", "cells.tif", "cells_labels.tif", "cells_labels.tif.hitl.json")


def write(folder: Path, text: str) -> None:
    for name in NAMES:
        inside = folder / name
        if name.endswith(".zarr"):
            inside.mkdir()
            inside /= "zarr.json"
        inside.write_text(text)


def found(destination: Path) -> dict[str, str]:
    return {
        path.name: ((path / "zarr.json") if path.is_dir() else path).read_text()
        for path in destination.iterdir()
    }


def export(destination: Path, text: str, gate: Any) -> bool:
    """Write an export when all others are ready; return whether its files are there."""
    try:
        with new_folder_files(destination, NAMES) as folder:
            write(folder, text)
            gate.wait()
    except ExchangeError as error:
        assert "\n" not in str(error)
        assert "already; name another folder" in str(error)
        assert "another program wrote it meanwhile" in str(error)
        return False
    return True


def test_of_two_threads_one_exports(tmp_path: Path) -> None:
    for attempt in range(10):
        destination, gate = tmp_path / str(attempt), threading.Barrier(2)
        done: dict[str, bool] = {}

        def run(text: str, to: Path = destination, gate: Any = gate, done: Any = done) -> None:
            done[text] = export(to, text, gate)

        threads = [threading.Thread(target=run, args=(text,)) for text in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (won,) = [text for text, there in done.items() if there]
        assert found(destination) == dict.fromkeys(NAMES, won)


def _process(destination: Path, text: str, gate: Any, done: Any) -> None:
    done.put((text, export(destination, text, gate)))


def test_of_two_processes_one_exports(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    gate, done = context.Barrier(2), context.Queue()
    workers = [
        context.Process(target=_process, args=(tmp_path / "out", text, gate, done)) for text in "ab"
    ]
    for worker in workers:
        worker.start()
    results = dict(done.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    (won,) = [text for text, there in results.items() if there]
    assert found(tmp_path / "out") == dict.fromkeys(NAMES, won)


@pytest.mark.parametrize("name", NAMES)
def test_what_had_moved_is_taken_back_and_theirs_stays(tmp_path: Path, name: str) -> None:
    destination = tmp_path / "out"
    with (
        pytest.raises(ExchangeError, match=rf"out: holds {name} already.*wrote it meanwhile"),
        new_folder_files(destination, NAMES) as folder,
    ):
        write(folder, "mine")
        (destination / name).write_text("theirs")
    assert found(destination) == {name: "theirs"}


def test_an_empty_folder_of_theirs_is_not_taken(tmp_path: Path) -> None:
    destination = tmp_path / "out"
    with (
        pytest.raises(ExchangeError, match=r"holds cells\.ome\.zarr already"),
        new_folder_files(destination, NAMES) as folder,
    ):
        write(folder, "mine")
        (destination / NAMES[0]).mkdir()
    assert [path.name for path in destination.iterdir()] == [NAMES[0]]
    assert not any((destination / NAMES[0]).iterdir())


def test_an_interrupted_export_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        new_folder_files(tmp_path / "out", NAMES) as folder,
    ):
        write(folder, "mine")
        raise KeyboardInterrupt
    assert not (tmp_path / "out").exists()
