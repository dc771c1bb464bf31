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


def test_what_is_no_copy_is_not_told_of(copies: Callable[..., list[dict]], project: Path) -> None:
    assert copies(picture(2)) == [], "another sample"
    assert run(["remove", str(project), "new", "--yes"]) == 0
    assert copies(picture(1, noise=1)) == [], "a second picture of the same"
    assert run(["remove", str(project), "new", "--yes"]) == 0
    moved = ndimage.shift(light(1), (0, 1.5, 0.7), mode="nearest")
    assert copies(np.random.default_rng(5).poisson(moved)) == [], "the next time point"
