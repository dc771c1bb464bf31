"""What is printed of predictions: label images that were written."""

from __future__ import annotations

from hitl.prediction.files import Segmented
from hitl.prediction.predict import Predicted


def predicted(done: Predicted) -> tuple[Predicted, str]:
    """Tell of the label files of fields."""
    return done, "\n".join(
        f"{field}: {done.objects[field]} objects in {file}" for field, file in done.files.items()
    )


def segmented(done: Segmented) -> tuple[Segmented, str]:
    """Tell of one label file."""
    return done, f"{done.objects} objects ({done.segmenter}) in {done.output}"
