"""What this process holds open."""

from __future__ import annotations

from pathlib import Path


def open_descriptors() -> set[str]:
    links = Path("/proc/self/fd").iterdir()
    return {str(link.readlink()) for link in links if link.is_symlink()}


def mapped(name: str) -> bool:
    """Whether a file is open or mapped into memory."""
    return name in Path("/proc/self/maps").read_text() or any(
        name in path for path in open_descriptors()
    )
