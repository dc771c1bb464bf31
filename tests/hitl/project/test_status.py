"""`hitl status`: one row per labels, and what comes next."""

from __future__ import annotations

from pathlib import Path

import pytest

from hitl.cli.printing.project import overview
from hitl.project.folder import Project
from hitl.project.status import status
from tests.hitl.class_fields import NAMES, TIMES, add_classes, add_series
from tests.hitl.fake_model import SHAPE, Bench, make_bench


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return make_bench(tmp_path, monkeypatch)


def test_a_row_for_each_class_of_each_field(bench: Bench) -> None:
    add_classes(bench, "f1", "train", labelled=("g1",))
    add_series(bench, "movie", "test")
    rows = {state.name: state for state in status(bench.project, bench.project.store()).fields}
    assert set(rows) == {*(f"f1:{name}" for name in NAMES), "movie"}
    count = rows["f1:g1"].objects["accepted"]
    assert (count > 10, rows["f1:g1"].verified_share) == (True, 1.0)
    assert (sum(rows["f1:g2"].objects.values()), rows["f1:g2"].verified_share) == (0, 0.0)
    assert rows["f1:g2"].shape_tczyx == (1, len(NAMES), *SHAPE)
    assert (rows["movie"].split, rows["movie"].verified_share) == ("test", 1.0)
    assert rows["movie"].objects["accepted"] > 2 * count
    table = overview(status(bench.project, bench.project.store()))[1].renderables[0]
    sizes = {row[0]: row[2] for row in table.rows}
    voxels = "×".join(map(str, SHAPE))
    assert sizes["f1:g1"] == f"{voxels}, 3 channels"
    assert sizes["movie"] == f"{voxels}, {TIMES} times"


def test_no_voxel_and_no_table_of_objects_is_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_classes(bench, "f1", "train")

    def read(*_: object) -> None:
        pytest.fail("an array was read")

    monkeypatch.setattr("annotations.planes.Planes.__getitem__", read)
    monkeypatch.setattr("annotations.planes.ImageOfTime.__getitem__", read)
    monkeypatch.setattr("annotations.views.read_objects", read)
    project = Project.open(bench.project.folder)
    assert len(status(project, project.store()).fields) == len(NAMES)
