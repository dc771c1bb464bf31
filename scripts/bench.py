"""Run every benchmark and print one table: median times, and the ratio to a peer in this run."""

from __future__ import annotations

import argparse
import json
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
    from scripts import bench_metrics, bench_postprocess

    rows = bench_help(repeats)
    rows += bench_postprocess.bench(repeats)
    rows += bench_metrics.bench(repeats)
    return rows


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"medians on {platform.processor() or platform.machine()}")
    for column in ("what", "seconds", "peer", "peer's seconds", "times faster", "to reach"):
        table.add_column(column, justify="left" if column in {"what", "peer"} else "right")
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['seconds']:.3f}",
            row["peer"] or "",
            "" if row["peer_seconds"] is None else f"{row['peer_seconds']:.2f}",
            "" if row["ratio"] is None else f"{row['ratio']:.1f}",
            row["limit"] or "",
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
