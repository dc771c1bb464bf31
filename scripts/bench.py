"""Run every benchmark and print one table: median times, and the ratio to a peer in this run."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from scripts.timing import row, timed

HELP_LIMIT_S = 0.5


def bench_help(repeats: int = 7) -> list[dict[str, Any]]:
    """Time `hitl --help` as a person starts it."""
    command = shutil.which("hitl", path=str(Path(sys.executable).parent)) or "hitl"
    run = partial(subprocess.run, [command, "--help"], check=True, capture_output=True)
    return [row("hitl --help", timed(run, repeats)[0], limit=f"< {HELP_LIMIT_S} s")]


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
    for script in (
        bench_postprocess,
        bench_metrics,
        bench_measure,
        bench_rounds,
        bench_unet,
        bench_cellpose,
    ):
        rows += script.bench(repeats)
    return rows


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table."""
    from rich.console import Console

    from hitl.cli.tables import plain_table

    def number(found: dict[str, Any], key: str, digits: int) -> str:
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
