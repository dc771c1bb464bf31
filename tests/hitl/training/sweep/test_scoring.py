"""How the cells of a sweep are scored and sorted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hitl.cli import run
from models.base import TrainingSample
from tests.hitl.class_fields import NAMES, add_classes, class_scenes
from tests.hitl.fake_model import Bench
from tests.hitl.training.sweep.fake_trainer import GRID, FakeTrainer, Sweeper, add


def test_only_known_voxels_count(bench: Bench) -> None:
    from hitl.training.sweep.scoring import score_known

    truth = np.zeros((4, 20, 20), np.uint32)
    truth[:, 2:8, 2:8] = 1
    mask = np.zeros(truth.shape, bool)
    mask[:, :, :10] = True
    found = truth.copy()
    found[:, 12:18, 12:18] = 2
    sample = TrainingSample("s", truth[None].astype(float), truth, mask, (1.0, 1.0, 1.0))
    assert score_known(sample, found, 1).at_half.f1 == 1.0
    found[:, 12:18, 2:8] = 3
    assert score_known(sample, found, 1).at_half.f1 == pytest.approx(2 / 3)


def test_seeds_are_averaged(
    sweep: Sweeper, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    done = sweep("--grid", "shrink=0,1", "--seeds", "0,3")
    assert [(c["options"]["shrink"], c["seed"]) for c in done["cells"]] == [
        (0, 0), (0, 3), (1, 0), (1, 3),
    ]  # fmt: skip
    assert len(done["best"]["runs"]) == 2
    f1 = [cell["f1"] for cell in done["cells"][:2]]
    assert f1[0] > f1[1]
    run(["sweep", str(bench.project.folder), "fake", "--grid", "shrink=0,1", "--seeds", "0,3"])
    assert f"{np.mean(f1):.3f} ± {np.std(f1, ddof=1):.3f}" in capsys.readouterr().out
    assert sweep("--seeds", "0,3")["done"] == 2


def test_the_test_fields_are_scored_but_not_sorted_by(sweep: Sweeper, bench: Bench) -> None:
    assert "no field of split test" in sweep(*GRID, "--evaluate", code=1)["said"]
    assert not FakeTrainer.trained, "refused before anything is trained"
    add(bench, "unseen", "test", seed=5)
    done = sweep(*GRID, "--evaluate")
    assert done["cells"][0]["test"] == {"f1": 1.0, "evaluation_score": 1.0}
    assert "test_f1" in Path(done["table"]).read_text().splitlines()[0]
    assert not list(bench.project.folder.glob("evaluations/*/*.png"))


def test_sorting_by_another_column(sweep: Sweeper) -> None:
    done = sweep("--grid", "rate=2,1,3", "--sort", "val_loss")
    assert [cell["val_loss"] for cell in done["cells"]] == [0.5, 1.0, 1.5]


def test_cells_are_scored_by_class(bench: Bench) -> None:
    """Of g1 every second object is taken for none; nuclei are in two fields, g1 and g2 in one."""
    from hitl.project.reporter import Silent
    from hitl.training.samples import collect_samples
    from hitl.training.sweep.scoring import score_cell

    _, truth = class_scenes(20)
    g1 = np.where(truth["g1"] % 2, truth["g1"], 0).astype(np.uint32)
    add_classes(bench, "v1", "val", seed=20, labels={**truth, "g1": g1})
    add_classes(bench, "f1", "train", seed=30)
    bench.add("v2", "val", labelled=True, seed=40)
    data = collect_samples(bench.project.store(), bench.project.config, ("f1",), Silent())
    assert [field for field, _ in data.val_of] == ["v1", "v1", "v1", "v2"]
    folder = bench.project.run(bench.run("fake-0001", NAMES))
    scored = score_cell(bench.project, folder, data, Silent())
    assert scored["f1"] == pytest.approx((2 / 3 + 1 + 1) / 3)
