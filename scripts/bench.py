"""Run every benchmark and print one table: median times, and the ratio to a peer in this run."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HELP_LIMIT_S = 0.5


def bench_help(repeats: int = 7) -> list[dict[str, Any]]:
    """Time `hitl --help` as a person starts it."""
    command = shutil.which("hitl", path=str(Path(sys.executable).parent)) or "hitl"
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run([command, "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    return [
        {
            "name": "hitl --help",
            "seconds": statistics.median(seconds),
            "peer": "",
            "peer_seconds": None,
            "ratio": None,
            "limit": f"< {HELP_LIMIT_S} s",
        }
    ]


def all_rows(repeats: int) -> list[dict[str, Any]]:
    """Run all benchmarks one after the other."""
    from scripts import (
        bench_cellpose,
        bench_measure,
        bench_metrics,
        bench_postprocess,
        bench_rounds,
        bench_unet,
    )

    rows = bench_help(repeats)
    rows += bench_postprocess.bench(repeats)
    rows += bench_metrics.bench(repeats)
    rows += bench_measure.bench(repeats)
    rows += bench_rounds.bench(repeats)
    rows += bench_unet.bench(repeats)
    rows += bench_cellpose.bench(repeats)
    return rows


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table."""
    from rich.console import Console

    from hitl.cli.tables import plain_table

    def number(row: dict[str, Any], key: str, digits: int) -> str:
        return "" if row.get(key) is None else f"{row[key]:.{digits}f}"

    table = plain_table(
        ("what", "seconds", "peer", "peer's seconds", "times faster", "MB more", "to reach"),
        [
            (
                row["name"],
                number(row, "seconds", 3),
                row["peer"] or "",
                number(row, "peer_seconds", 2),
                number(row, "ratio", 1),
                number(row, "memory_mb", 0),
                row["limit"] or "",
            )
            for row in rows
        ],
        title=f"medians on {os.cpu_count()} cores, {platform.machine()}",
        right=("seconds", "peer's seconds", "times faster", "MB more"),
    )
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    rows = all_rows(arguments.repeats)
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows)


if __name__ == "__main__":
    main()
