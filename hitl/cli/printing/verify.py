"""What is printed of a project that was compared with its checksums."""

from __future__ import annotations

from hitl.project.verify import ProjectVerification
from labels.numbers import number_of


def verified(found: ProjectVerification) -> tuple[ProjectVerification, str]:
    """Tell what is damaged, what was done about it, and what is whole."""
    read = "chunks, each read" if found.deep else "chunk files of the newest"
    lines = [*(f"repaired: {line}" for line in found.repaired)]
    lines += [f"damaged: {line}" for line in found.damaged]
    state = "whole" if found.whole else f"{len(found.damaged)} damaged"
    lines.append(
        f"{found.project}: {state}; compared {number_of(found.commits, 'commit')} and "
        f"{found.chunks} {read}"
    )
    if not found.whole:
        lines.append(f"whole rounds: {found.whole_rounds or 'none'}")
    return found, "\n".join(lines)
