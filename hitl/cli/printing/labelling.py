"""What is printed of labelling: stacks added, rounds made."""

from __future__ import annotations

from typing import Any

from hitl.cli.tables import plain_table
from hitl.labelling.add import Added
from hitl.labelling.bootstrap import Bootstrapped


def added(done: Added) -> tuple[dict[str, Any], str]:
    """Tell of a stack that was added."""
    size = " × ".join(str(n) for n in done.shape[1:])
    labels = f", {done.objects} labelled objects" if done.objects else ""
    step = " × ".join(f"{s:g}" for s in done.spacing_um)
    data = {
        "stack": done.name,
        "split": done.split,
        "shape_czyx": done.shape,
        "spacing_um": done.spacing_um,
        "objects": done.objects,
        "shares_voxels_with": done.twins,
    }
    return data, f"added {done.name} ({done.split}): {size} voxels of {step} µm{labels}"


def bootstrapped(done: Bootstrapped) -> tuple[Bootstrapped, Any]:
    """Tell of a round of first labels."""
    return done, plain_table(
        ("stack", "objects", "seconds"),
        [(r.stack, str(r.objects), f"{r.seconds:.1f}") for r in done.stacks],
        title=f"round {done.round}, bootstrapped with {done.segmenter}",
    )
