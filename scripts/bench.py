"""Run every benchmark and print one table: median times, and the ratio to a peer in this run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

from scripts.timing import Row, print_rows, row, timed

HELP_LIMIT_S = 0.5
PARTS = ("postprocess", "metrics", "measure", "rounds", "unet", "cellpose")


def bench_help(repeats: int = 7) -> list[Row]:
    """Time `hitl --help` as a person starts it."""
    command = shutil.which("hitl", path=str(Path(sys.executable).parent)) or "hitl"
    run = partial(subprocess.run, [command, "--help"], check=True, capture_output=True)
    return [row("hitl --help", timed(run, repeats)[0], limit=f"< {HELP_LIMIT_S} s")]


def bench(repeats: int = 5) -> list[Row]:
    """Run all benchmarks one after the other."""
    modules = [import_module(f"scripts.bench_{part}") for part in PARTS]
    parts = [bench_help, *(module.bench for module in modules)]
    return [found for part in parts for found in part(repeats)]


if __name__ == "__main__":
    print_rows(bench)
