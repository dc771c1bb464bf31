"""What every benchmark measures, and the row that it becomes in the table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def row(
    name: str,
    seconds: float | None,
    *,
    peer: str = "",
    peer_seconds: float | None = None,
    limit: str = "",
    memory_mb: float | None = None,
) -> dict[str, Any]:
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


def timed(work: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """Return the median seconds of `repeats` calls, and the last result."""
    seconds = []
    result = None
    for _ in range(repeats):
        begin = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds), result


def extra_mb(work: Callable[[], Any]) -> float | None:
    """Peak of the process's memory above where it began; None where the kernel does not say."""
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        work()
        return None
    reset.write_text("5")
    before = _status_kb("VmRSS")
    work()
    return (_status_kb("VmHWM") - before) * 1024 / 1e6


def _status_kb(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key + ":")).split()[1])
