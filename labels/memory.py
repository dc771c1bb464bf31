"""How much memory this process can have, so that what cannot fit is refused before it begins."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

GIB = 2**30

_CGROUP_FILES = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def memory_bytes() -> int:
    """Return what the machine, its container and the limits on this process leave, in bytes.

    What other programs hold is not looked at: they may end, and the system may swap.
    """
    return min(_limits())


def too_large(need: float) -> str | None:
    """Return in words how much memory work needs and how much there is, None where it may fit.

    >>> too_large(1e6) is None
    True
    """
    have = memory_bytes()
    if need <= have:
        return None
    return f"takes about {_gib(need)} of memory, where this machine has {_gib(have)}"


def _gib(size: float) -> str:
    return f"{size / GIB:,.3g} GiB" if size < 1000 * GIB else f"{size / GIB:,.0f} GiB"


def _limits() -> Iterator[int]:
    yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in _CGROUP_FILES:
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        if text.isdecimal():
            yield int(text)
    if sys.platform == "linux":
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            yield max(limit - used, 0)
