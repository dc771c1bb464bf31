"""What is printed of predictions: label images that were written."""

from __future__ import annotations

from hitl.prediction.files import Segmented
from hitl.prediction.predict import Predicted


def predicted(done: Predicted) -> tuple[Predicted, str]:
    """Tell of the label files of stacks."""
    return done, "\n".join(
        f"{stack}: {done.objects[stack]} objects in {file}" for stack, file in done.files.items()
    )


def segmented(done: Segmented) -> tuple[Segmented, str]:
    """Tell of one label file."""
    return done, f"{done.objects} objects ({done.segmenter}) in {done.output}"
