"""What is printed of predictions: label images that were written."""

from __future__ import annotations

from hitl.prediction.files import Segmented
from hitl.prediction.predict import Predicted
from labels.numbers import number_of


def predicted(done: Predicted) -> tuple[Predicted, str]:
    """Tell of the label files of fields."""
    return done, "\n".join(
        f"{field}: {number_of(done.objects[field], 'object')} in {file}"
        for field, file in done.files.items()
    )


def segmented(done: Segmented) -> tuple[Segmented, str]:
    """Tell of one label file."""
    return done, f"{number_of(done.objects, 'object')} ({done.segmenter}) in {done.output}"
