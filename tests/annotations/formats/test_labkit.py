"""Labkit's labelings: names are ids."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from annotations.errors import FormatError
from annotations.formats import read_labels
from annotations.formats.labkit import LABKIT, names_file, resolve_names
from tests.annotations.formats.contract import FormatContract, Labels
from tests.annotations.formats.exchange_labels import save_labkit


def labkit_names(path: Path, sets: object) -> Path:
    names_file(path).write_text(json.dumps({"labelSets": sets}))
    return path


def test_labkits_names_are_the_ids(tmp_path: Path) -> None:
    indices = np.array([[[0, 1, 2], [3, 4, 4]]], np.uint32)
    path = labkit_names(tmp_path / "a.tif", [[], ["12"], ["3"], ["new cell"], ["12", "Label 2"]])
    found = resolve_names(path, indices)
    # Label 2 has the shorter name, so it is the first of the new ones.
    assert found.labels.tolist() == [[[0, 12, 3], [14, 13, 13]]]
    assert "2 voxels carry several labels" in found.notes[0]
    assert found.notes[1].endswith("new objects from the labels Label 2, new cell")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"labelSets": [[], ["1"]]}, "expected indices below 2"),
        ({"labelSets": [[], ["1"], ["0"], ["4"]]}, "expected an id"),
        ({"labelSets": [[], ["9" * 5000], ["2"], ["4"]]}, "expected an id"),
        ({"labelSets": [[], 4]}, "labelSets"),
        ([1, 2], "labelSets"),
    ],
)
def test_lists_that_are_not_labkits(tmp_path: Path, content: object, message: str) -> None:
    names_file(tmp_path / "a.tif").write_text(json.dumps(content))
    with pytest.raises(FormatError, match=message):
        resolve_names(tmp_path / "a.tif", np.full((2, 2, 2), 3, np.uint32))


class TestContract(FormatContract):
    format = LABKIT
    spacing_um = None
    exported = True

    def save(self, path: Path, labels: Labels, times: int = 1) -> None:
        save_labkit(path, labels, times)

    def test_nothing_is_overwritten(self, tmp_path: Path) -> None:
        """Labkit itself opens a plain label TIFF."""
        path = tmp_path / "stack_labels.tif"
        super().save(path, self.labels())
        with pytest.raises(FormatError, match="exists already"):
            super().save(path, 0 * self.labels())
        np.testing.assert_array_equal(read_labels(path), self.labels())
