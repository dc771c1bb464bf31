"""Fuzz readers for some minutes, in processes of their own, and tell what came of it."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import ACCEPTED, CRASH, OUTCOMES, REFUSED, work


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 where every input was read or refused, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=None, help="of all that is drawn")
    parser.add_argument("--reader", action="append", choices=list(TARGETS), help="only these")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--failures", type=Path, default=None, help="where failing inputs are kept")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else time.time_ns() % 10**9
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    failures = options.failures or folder / "failures"
    failures.mkdir(parents=True, exist_ok=True)
    print(f"seed {seed}; failing inputs are kept in {failures}", flush=True)
    names = options.reader or list(TARGETS)
    counts = fuzz(names, seed, options.minutes, options.processes, folder, failures)
    print(table(counts))
    bad = sum(counts[name][o] for name in names for o in OUTCOMES if o not in (ACCEPTED, REFUSED))
    return 1 if bad else 0


def fuzz(
    names: list[str], seed: int, minutes: float, processes: int, folder: Path, failures: Path
) -> dict[str, Counter[str]]:
    """Run processes until the time is over; one that dies is replaced, and its input kept."""
    spawn = multiprocessing.get_context("spawn")
    end = time.monotonic() + 60 * minutes
    running: dict[Path, multiprocessing.process.BaseProcess] = {}
    started = 0
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    while time.monotonic() < end or running:
        while len(running) < processes and time.monotonic() < end:
            place = folder / f"worker-{started}"
            place.mkdir()
            left = end - time.monotonic()
            arguments = (names, seed + 1000 * started, str(place), str(failures), left)
            running[place] = spawn.Process(target=work, args=arguments)
            running[place].start()
            started += 1
        time.sleep(0.5)
        for place in [p for p, process in running.items() if process.exitcode is not None]:
            collect(counts, place, running.pop(place).exitcode or 0, failures)
    return counts


def collect(counts: dict[str, Counter[str]], place: Path, exitcode: int, failures: Path) -> None:
    """Add what a process counted; keep the input that it died of."""
    found = place / "counts.json"
    for name, more in (json.loads(found.read_text()) if found.exists() else {}).items():
        counts[name].update(more)
    if exitcode and (place / "now.txt").exists():
        name = (place / "now.txt").read_text()
        counts[name][CRASH] += 1
        kept = failures / f"{name}-crash-{place.name}"
        shutil.copytree(place / "now", kept, symlinks=True)
        (kept / "why.txt").write_text(f"the process ended with exit code {exitcode}\n")
    shutil.rmtree(place)


def table(counts: dict[str, Counter[str]]) -> str:
    """Return the counts of each reader, for people."""
    lines = [f"{'reader':16}" + "".join(f"{outcome:>11}" for outcome in OUTCOMES)]
    rows = [*counts.items(), ("all", sum(counts.values(), Counter()))]
    for name, found in rows:
        lines.append(f"{name:16}" + "".join(f"{found[outcome]:>11,}" for outcome in OUTCOMES))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
