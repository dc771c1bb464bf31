"""What every benchmark measures, the rows that it becomes, and how they are asked for and shown."""

from __future__ import annotations

import argparse
import inspect
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def row(
    name: str,
    seconds: float | None,
    *,
    peer: str = "",
    peer_seconds: float | None = None,
    limit: str = "",
    memory_mb: float | None = None,
) -> Row:
    """Return one row of the table; the ratio to the peer follows."""
    return {
        "name": name,
        "seconds": seconds,
        "peer": peer,
        "peer_seconds": peer_seconds,
        "ratio": peer_seconds / seconds if peer_seconds and seconds else None,
        "limit": limit,
        "memory_mb": memory_mb,
    }


def times(shape: tuple[int, ...]) -> str:
    """Return a shape as it stands in a row's name."""
    return "×".join(map(str, shape))


def timed(work: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """Return the median seconds of `repeats` calls, and the last result."""
    seconds = []
    result = None
    for _ in range(repeats):
        begin = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds), result


def in_turns(runs: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each run, taken in turns; a run may return its own seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            took, result = timed(run)
            seconds[name].append(result if isinstance(result, float) else took)
    return seconds


def timed_with_mb(work: Callable[[], Any]) -> tuple[float, float | None, Any]:
    """Return seconds, the peak of the process's memory above where it began, and the result.

    The memory is None where the kernel does not say.
    """
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        seconds, result = timed(work)
        return seconds, None, result
    reset.write_text("5")
    before = _status_kb("VmRSS")
    seconds, result = timed(work)
    return seconds, (_status_kb("VmHWM") - before) * 1024 / 1e6, result


def _status_kb(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key + ":")).split()[1])


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def print_rows(bench: Callable[..., list[Row]]) -> None:
    """Run a benchmark from the command line, whose options are its parameters, and print it."""
    parser = argparse.ArgumentParser(description=sys.modules[bench.__module__].__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    for name, parameter in inspect.signature(bench).parameters.items():
        default = parameter.default
        many = "+" if isinstance(default, tuple) else None
        parser.add_argument(f"--{name}", type=int, nargs=many, default=default)
    given = vars(parser.parse_args())
    as_json = given.pop("json")
    rows = bench(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows)


def print_table(rows: list[Row]) -> None:
    """Print the rows as a table."""
    from rich.console import Console

    from hitl.cli.tables import plain_table

    def number(found: Row, key: str, digits: int) -> str:
        return "" if found.get(key) is None else f"{found[key]:.{digits}f}"

    table = plain_table(
        ("what", "seconds", "peer", "peer's seconds", "times faster", "MB more", "to reach"),
        [
            (
                found["name"],
                number(found, "seconds", 3),
                found["peer"] or "",
                number(found, "peer_seconds", 2),
                number(found, "ratio", 1),
                number(found, "memory_mb", 0),
                found["limit"] or "",
            )
            for found in rows
        ],
        title=f"medians on {os.cpu_count()} cores, {platform.machine()}",
        right=("seconds", "peer's seconds", "times faster", "MB more"),
    )
    Console(width=None if sys.stdout.isatty() else 140).print(table)
