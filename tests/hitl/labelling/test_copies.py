"""A test field that comes back is told of and not learned from; a second picture is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from annotations.formats import write_image_tiff, write_labels_tiff
from hitl.cli import run

SPACING = (2.0, 1.0, 1.0)
SHAPE = (16, 96, 96)


def light(seed: int) -> NDArray[np.float64]:
    """Blobs of many brightnesses, without noise."""
    random = np.random.default_rng(seed)
    points = np.zeros(SHAPE)
    places = random.integers(0, SHAPE, (400, 3))
    points[tuple(places.T)] = random.uniform(0.3, 1.0, 400)
    blurred = ndimage.gaussian_filter(points, (1.0, 2.0, 2.0))
    return 20 + 300 * blurred / blurred.max()


def picture(seed: int, noise: int = 0) -> NDArray[np.uint16]:
    return np.random.default_rng([seed, noise]).poisson(light(seed)).astype(np.uint16)


CHANGES: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "a column less": lambda v: v[:, :, 1:],
    "a half": lambda v: v[:, :48],
    "flipped": lambda v: v[:, :, ::-1],
    "turned": lambda v: np.rot90(v, 1, (1, 2)),
    "one brighter": lambda v: v + 1,
    "half as bright again": lambda v: v * 1.5,
    "in 8 bits, flipped and cropped": lambda v: (v[:, 5:90, ::-1] / v.max() * 255).astype(np.uint8),
    "a tenth larger": lambda v: ndimage.zoom(v.astype(np.float32), (1, 1.1, 1.1), order=1),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a labelled test field."""
    folder = tmp_path / "project"
    assert run(["init", str(folder)]) == 0
    write_image_tiff(tmp_path / "held.tif", picture(1), SPACING)
    labels = (light(1) > 90).astype(np.uint16)
    write_labels_tiff(tmp_path / "labels.tif", labels, SPACING)
    files = [str(tmp_path / "held.tif"), "--labels", str(tmp_path / "labels.tif")]
    assert run(["add", str(folder), *files, "--split", "test"]) == 0
    return folder


@pytest.fixture
def copies(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[[NDArray[Any]], list[dict[str, Any]]]:
    """Add an image to learn from, and give what it is said to be a copy of."""

    def add(image: NDArray[Any]) -> list[dict[str, Any]]:
        whole = np.ascontiguousarray(np.rint(image)).astype(np.uint16)
        (tmp_path / "new.tif").unlink(missing_ok=True)
        write_image_tiff(tmp_path / "new.tif", whole, SPACING)
        capsys.readouterr()
        assert run(["add", str(project), str(tmp_path / "new.tif"), "--json"]) == 0
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["copies"]
        return found

    return add


@pytest.mark.parametrize("how", CHANGES)
def test_a_copy_is_told_of_and_not_learned_from(
    copies: Callable[..., list[dict]], project: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    (found,) = copies(CHANGES[how](picture(1)))
    assert (found["original"], found["copy"]) == ("held", "new")
    assert run(["bootstrap", str(project), "--segmenter", "classical"]) == 0
    capsys.readouterr()
    assert run(["train", str(project), "unet3d"]) == 1
    (line,) = [w for w in capsys.readouterr().err.splitlines() if w.startswith("error: ")]
    assert "shares voxels with test field held" in line


def test_what_is_left_of_a_thin_or_small_part_is_told_of(
    copies: Callable[..., list[dict]], project: Path
) -> None:
    few = picture(1)[4:10]
    for what, image in {
        "a box of few slices in 8 bits": np.rot90(
            few[1:4, 20:68, 30:84] / few.max() * 255, 1, (1, 2)
        ),
        "half of the slices of few": ndimage.zoom(few.astype(np.float32), (0.5, 1, 1), order=1),
        "a third more slices": ndimage.zoom(picture(1).astype(np.float32), (1.33, 1, 1), order=3),
        "with noise, and larger": ndimage.zoom(
            picture(1) + np.random.default_rng(3).normal(0, 4, SHAPE), (1, 1.07, 1.05), order=1
        ).clip(0),
    }.items():
        assert [each["original"] for each in copies(image)] == ["held"], what
        assert run(["remove", str(project), "new", "--yes"]) == 0


def test_what_is_no_copy_is_not_told_of(copies: Callable[..., list[dict]], project: Path) -> None:
    random = np.random.default_rng(5)
    moved = ndimage.shift(light(1), (0, 1.5, 0.7), mode="nearest")
    for what, image in {
        "another sample": picture(2),
        "a second picture of the same": picture(1, noise=1),
        "a second picture, resampled": ndimage.zoom(
            picture(1, noise=1).astype(np.float32), (1.1, 0.93, 0.93), order=1
        ),
        "a second picture with little noise": random.poisson(light(1) * 20),
        "the next time point": random.poisson(moved),
    }.items():
        assert copies(image) == [], what
        assert run(["remove", str(project), "new", "--yes"]) == 0
