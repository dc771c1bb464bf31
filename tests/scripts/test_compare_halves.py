"""The comparison of trainers on both halves of a field."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from models.base import Segmentation
from scripts import compare_halves
from scripts.compare_halves import FIELDS, Halves, add_row, read_rows, table

SPACING = (2.0, 1.0, 1.0)


@pytest.fixture
def field(tmp_path: Path) -> Path:
    """Four cubes, two in each half in y."""
    labels = np.zeros((6, 24, 20), np.uint32)
    for number, (y, x) in enumerate(((2, 2), (2, 12), (14, 2), (14, 12)), start=1):
        labels[1:5, y : y + 6, x : x + 6] = number
    folder = tmp_path / "cubes"
    folder.mkdir()
    image = (labels > 0).astype(np.uint8) * 200
    tifffile.imwrite(folder / "image.tif", image, metadata={"axes": "ZYX"})
    tifffile.imwrite(folder / "labels.tif", labels, metadata={"axes": "ZYX"})
    (folder / "meta.json").write_text(json.dumps({"voxel_size_um_zyx": SPACING}))
    return folder


def row(**more: object) -> dict[str, object]:
    return {**dict.fromkeys(FIELDS, ""), "stack": "a", "model": "unet3d", "minutes": "1", **more}


def test_a_field_is_cut_both_ways_and_no_row_is_in_both(field: Path) -> None:
    one, other = Halves.read(field)
    assert one.learn.image.shape == one.test.image.shape == (1, 6, 12, 20)
    np.testing.assert_array_equal(one.learn.labels, other.test.labels)
    np.testing.assert_array_equal(one.test.labels, other.learn.labels)
    assert set(np.unique(one.learn.labels)) == {0, 1, 2}
    assert set(np.unique(one.test.labels)) == {0, 3, 4}
    assert one.learn.spacing_um == SPACING


def test_means_are_over_halves_and_the_spread_over_seeds(tmp_path: Path) -> None:
    file = tmp_path / "trainings.csv"
    for seed, learned, f1 in ((0, "low y", 0.5), (0, "high y", 0.7), (1, "low y", 0.9)):
        add_row(file, row(seed=seed, learned=learned, f1=f1, score=0.5))
    add_row(file, row(seed=1, learned="high y", f1=0.7, score=0.5))
    last = table(read_rows(file)).splitlines()[-1]
    # Seeds: 0.6 and 0.8.
    assert last == "| a | unet3d | 1 | 0.700 ± 0.141 | 0.500 ± 0.000 | 4 |"


def test_what_has_a_row_is_not_trained_again(
    field: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = []

    class Starter:
        def segment(self, image: np.ndarray, spacing_um: tuple[float, ...]) -> Segmentation:
            return Segmentation((image[0] > 0).astype(np.uint32), {})

    def once(halves, model, options, folder, share):
        (one,) = halves
        trained.append((one.learned, model, options["seed"], options["max_minutes"]))
        return [{"f1": 1.0, "score": 0.9}]

    monkeypatch.setattr(compare_halves, "StarterSegmenter", Starter)
    monkeypatch.setattr(compare_halves, "train_once", once)
    words = ["x", str(tmp_path / "out"), "--stack", str(field), "--minutes", "2", "--seeds"]
    monkeypatch.setattr("sys.argv", [*words, "1"])
    assert compare_halves.main() == 0
    assert len(trained) == 4
    assert {seed for *_, seed, _ in trained} == {0}
    monkeypatch.setattr("sys.argv", [*words, "2"])
    assert compare_halves.main() == 0
    assert len(trained) == 8
    assert {(seed, minutes) for *_, seed, minutes in trained[4:]} == {(1, 2.0)}
    printed = capsys.readouterr().out
    assert "| cubes | starter | 0 |" in printed
    assert "| cubes | unet3d | 2 | 1.000 ± 0.000 | 0.900 ± 0.000 | 4 |" in printed
