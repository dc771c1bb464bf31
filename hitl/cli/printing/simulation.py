"""What is printed of synthetic stacks."""

from __future__ import annotations

from hitl.simulate.stacks import Synthesised


def synthesised(done: Synthesised) -> tuple[Synthesised, str]:
    """Tell of stacks that were drawn."""
    nuclei = sum(pair.nuclei for pair in done.stacks)
    stacks = "stack" if len(done.stacks) == 1 else "stacks"
    added = f", added to {done.into}" if done.into is not None else ""
    return done, f"{len(done.stacks)} {stacks} with {nuclei} nuclei in {done.folder}{added}"
