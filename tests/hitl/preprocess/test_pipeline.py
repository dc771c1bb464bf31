"""Preprocessing of what a class sees: each channel alone, and a projection as the store has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from annotations.fields import ClassInfo
from annotations.store import AnnotationStore
from hitl.preprocess.pipeline import preprocess, steps_for
from hitl.preprocess.steps import PreprocessError, to_uint8
from hitl.preprocess.streaming import why_not_streamed
from hitl.project.config import parse_config
from hitl.project.processing import PreprocessStep
from tests.annotations.store_sources import ArraySource

TO_UINT8 = {"step": "to_uint8"}


def parsed(method: str | None) -> tuple[PreprocessStep, ...]:
    first = [] if method is None else [{"step": "project", "method": method}]
    return parse_config({"preprocess": [*first, TO_UINT8]}).preprocess


def volume(depth: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 900, (2, depth, 12, 14), dtype=np.uint16)


def test_each_channel_is_preprocessed_alone() -> None:
    image = volume()
    image[1] //= 7
    expected = [to_uint8(channel) for channel in image]
    np.testing.assert_array_equal(preprocess(parsed(None), image), expected)


def test_a_class_sees_its_projection_preprocessed(tmp_path: Path) -> None:
    image, steps = volume(), parsed("max")
    store = AnnotationStore.create(tmp_path / "store")
    seen = ClassInfo(name="nuclei", seen=(1,), projection="max")
    store.add_field("f", ArraySource(image), classes=(seen,))
    view = store.labels("f")
    left = steps_for(steps, view.info, "hitl.yaml")
    assert [step.step for step in left] == ["to_uint8"]
    # Blocks can be streamed too: the store has made one slice of all.
    assert why_not_streamed(left, image.dtype) is None
    assert "looks at all slices" in (why_not_streamed(steps, image.dtype) or "")
    np.testing.assert_array_equal(
        preprocess(left, view.read_image()), [to_uint8(image[1].max(axis=0, keepdims=True))]
    )


@pytest.mark.parametrize(
    ("added", "wanted", "said"),
    [
        (None, "max", r"^f: hitl.yaml makes one slice of all \(max\).*added with all slices"),
        ("max", "mean", r"^f: hitl.yaml makes one slice of all \(mean\).*were added by max"),
    ],
)
def test_another_projection_than_that_of_the_labels_is_refused(
    tmp_path: Path, added: str | None, wanted: str, said: str
) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    store.add_field("f", ArraySource(volume()), classes=(ClassInfo(name="a", projection=added),))
    with pytest.raises(PreprocessError, match=said):
        steps_for(parsed(wanted), store.labels("f").info, "hitl.yaml")


def test_images_of_one_slice_and_steps_without_projection_pass(tmp_path: Path) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    store.add_field("flat", ArraySource(volume(1)))
    store.add_field("max", ArraySource(volume()), classes=(ClassInfo(name="a", projection="max"),))
    flat = steps_for(parsed("mean"), store.labels("flat").info, "hitl.yaml")
    assert flat == steps_for(parsed(None), store.labels("max").info, "hitl.yaml") == parsed(None)
