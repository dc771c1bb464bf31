"""`promote`: a run takes the place of another only when it is no worse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hitl.cli.printing.training import promoted
from hitl.project.errors import LeakageError, NothingToDoError, ProjectError, UsageError
from hitl.project.reporter import Silent
from hitl.project.runs import IN_USE, model_in_use, promotions
from hitl.training.held_out import held_out_voxels
from hitl.training.promote import RegressionError, promote
from tests.hitl.class_fields import TIMES, add_classes, add_series
from tests.hitl.fake_model import Bench, make_bench

SPACING_UM = (2.0, 0.5, 0.5)


# In a project ------------------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = make_bench(tmp_path, monkeypatch)
    made.add("learn", "train", labelled=True)
    made.add("check", "val", labelled=True, seed=1)
    made.run("fake-0001")
    return made


def record(bench: Bench) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bench.project.folder / IN_USE).read_text())
    return found


def test_the_first_run_is_compared_with_the_bootstrap(bench: Bench) -> None:
    assert model_in_use(bench.project) is None
    done = promote(bench.project, "fake-0001", Silent(), by="anna")
    assert model_in_use(bench.project) == "fake-0001"
    assert (done.replaced, done.compared_with, done.fields) == (None, "bright", ("check",))
    assert done.strata[0].difference == 0
    (entry,) = promotions(bench.project)
    assert (entry["run"], entry["by"], entry["forced"]) == ("fake-0001", "anna", False)
    assert entry["weights_sha256"] == f"{1:064x}"
    assert (done.forced, done.objections) == (False, ())
    assert len(promoted(done)[1].renderables[0].rows) == len(done.strata)


def test_a_worse_run_is_refused_with_the_stratum_and_its_figures(bench: Bench) -> None:
    promote(bench.project, "fake-0001", Silent())
    before = record(bench)
    with pytest.raises(RegressionError) as caught:
        promote(bench.project, bench.run("fake-0002", missing="small"), Silent())
    message = str(caught.value)
    assert "\n" not in message
    assert "fake-0002 is not promoted, fake-0001 does better on check" in message
    assert "all objects: 0.500 against 1.000" in message
    assert "small objects: 0.000 against 1.000" in message
    assert "large objects" not in message
    assert "--force" in message
    assert record(bench) == before


def test_a_run_that_finds_nothing_is_refused(bench: Bench) -> None:
    with pytest.raises(RegressionError, match="it finds no object in check"):
        promote(bench.project, bench.run("fake-0002", missing="all"), Silent())
    assert model_in_use(bench.project) is None


def test_a_run_that_sees_more_is_refused_for_what_is_not_there(bench: Bench) -> None:
    with pytest.raises(RegressionError, match="spurious objects: 15 against 0"):
        promote(bench.project, bench.run("fake-0002", spurious=15), Silent())


def test_a_better_run_takes_its_place(bench: Bench) -> None:
    promote(bench.project, bench.run("fake-0002", shrink=1), Silent(), force=True, why="a start")
    done = promote(bench.project, "fake-0001", Silent())
    assert (done.replaced, model_in_use(bench.project)) == ("fake-0002", "fake-0001")
    assert done.strata[0].difference > 0
    assert [entry["run"] for entry in promotions(bench.project)] == ["fake-0002", "fake-0001"]


def test_force_is_recorded_with_who_why_and_what_spoke_against_it(bench: Bench) -> None:
    run = bench.run("fake-0002", missing="all")
    with pytest.raises(UsageError, match="--why"):
        promote(bench.project, run, Silent(), force=True)
    with pytest.raises(UsageError, match="--force"):
        promote(bench.project, run, Silent(), why="to see")
    done = promote(bench.project, run, Silent(), force=True, why="to see", by="ben")
    (entry,) = promotions(bench.project)
    assert (entry["forced"], entry["by"], entry["why"]) == (True, "ben", "to see")
    assert entry["objections"][0] == "it finds no object in check"
    assert entry["when"]
    assert done.forced and done.objections == tuple(entry["objections"])


def test_without_val_fields_it_is_what_training_held_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(tmp_path, monkeypatch)
    bench.add("learn", "train", labelled=True)
    reporter = Silent()
    done = promote(bench.project, bench.run("fake-0001"), reporter)
    share = bench.project.config.training.validation_share
    held_out = held_out_voxels(bench.labels, share)
    assert done.fields == ("learn",)
    assert done.strata[0].objects == len(np.unique(bench.labels[held_out])) - 1 > 0
    assert any("training fields that were held out" in note for note in reporter.notes)


def test_without_verified_objects_only_force_promotes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(tmp_path, monkeypatch)
    bench.add("learn", "train", labelled=False)
    bench.add("held", "test", labelled=True, seed=1)
    run = bench.run("fake-0001")
    with pytest.raises(NothingToDoError, match="no verified object to compare on"):
        promote(bench.project, run, Silent())
    done = promote(bench.project, run, Silent(), force=True, why="no labels yet")
    assert (done.compared_with, done.strata) == (None, ())
    assert "no verified object" in promotions(bench.project)[0]["objections"][0]


def test_bad_input_changes_nothing(bench: Bench) -> None:
    with pytest.raises(ProjectError, match="unknown run 'fake-0009'"):
        promote(bench.project, "fake-0009", Silent())
    (bench.project.runs_folder / "fake-0003").mkdir()
    with pytest.raises(ProjectError, match="did not finish"):
        promote(bench.project, "fake-0003", Silent())
    assert model_in_use(bench.project) is None
    promote(bench.project, "fake-0001", Silent())
    with pytest.raises(NothingToDoError, match="in use already"):
        promote(bench.project, "fake-0001", Silent())
    (bench.project.folder / IN_USE).write_text('{"run": ')
    with pytest.raises(ProjectError, match="record of promotions"):
        model_in_use(bench.project)


def test_a_val_field_that_is_a_test_field_too_is_refused(bench: Bench) -> None:
    bench.add("held", "test", labelled=True, seed=1)
    with pytest.raises(LeakageError, match="check shares voxels with test field held"):
        promote(bench.project, "fake-0001", Silent())


# Classes -----------------------------------------------------------------------------------------


def test_runs_are_compared_on_the_classes_that_both_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(tmp_path, monkeypatch)
    add_classes(bench, "check", "val")
    promote(bench.project, bench.run("fake-0001", ("g1", "nuclei")), Silent())
    done = promote(bench.project, bench.run("fake-0002", ("g1", "g2")), Silent())
    assert done.fields == ("check:g1",)
    assert done.strata[0].objects == len(np.unique(bench.labels)) - 1
    other = bench.run("fake-0003", ("nuclei",))
    with pytest.raises(NothingToDoError, match="fake-0003 on nuclei and fake-0002 on g1, g2 were"):
        promote(bench.project, other, Silent())
    assert promote(bench.project, other, Silent(), force=True, why="nuclei now").forced


def test_every_time_point_is_compared(bench: Bench) -> None:
    add_series(bench, "movie", "val", seed=30)
    done = promote(bench.project, "fake-0001", Silent())
    assert done.fields == ("check", *(f"movie t{time}" for time in range(TIMES)))
    assert done.strata[0].objects == (1 + TIMES) * (len(np.unique(bench.labels)) - 1)
