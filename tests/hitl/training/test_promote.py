"""`promote`: a run takes the place of another only when it is no worse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from hitl.evaluation.paired import (
    ALPHA,
    EVERYTHING,
    SPURIOUS,
    Paired,
    Stratum,
    compare,
    flip_p,
    paired_objects,
)
from hitl.project.errors import LeakageError, MetricError, NothingToDoError, ProjectError
from hitl.project.in_use import IN_USE, model_in_use, promotions
from hitl.project.reporter import Silent
from hitl.training.promote import RegressionError, promote
from tests.hitl.fake_model import SHAPE, Bench, make_bench, scene

SPACING_UM = (2.0, 0.5, 0.5)


def items(
    difference: NDArray[np.float64],
    spurious: tuple[float, ...] = (),
    **columns: NDArray[np.float64],
) -> Paired:
    n = difference.size
    in_use = np.full(n, 0.7)
    return Paired(
        in_use=in_use,
        candidate=in_use + difference,
        volume_um3=columns.get("volume_um3", np.full(n, 5.0)),
        depth_um=columns.get("depth_um", np.full(n, 5.0)),
        neighbours=columns.get("neighbours", np.full(n, 5.0)),
        spurious=np.asarray(spurious, np.float64),
    )


def named(strata: tuple[Stratum, ...]) -> dict[str, Stratum]:
    return {stratum.name: stratum for stratum in strata}


# The comparison ----------------------------------------------------------------------------------


def test_flips_by_hand() -> None:
    assert flip_p(np.array([-1.0, -1.0, -1.0])) == 1 / 8
    assert flip_p(np.array([1.0, 1.0, 1.0])) == 1.0
    assert flip_p(np.array([-1.0, 1.0, 0.0])) == 3 / 4
    assert flip_p(np.zeros(4)) == 1.0
    assert flip_p(np.zeros(0)) == 1.0


def test_random_flips_agree_with_all_flips() -> None:
    values = np.random.default_rng(3).normal(-0.3, 1, 12)
    padded = np.concatenate([values, [1e-12]])
    assert flip_p(padded) == pytest.approx(flip_p(values), abs=0.02)


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(-1, 1)))
def test_a_model_is_never_worse_and_better_at_once(values: NDArray[np.float64]) -> None:
    worse, better = compare(items(values))[0], compare(items(-values))[0]
    assert not (worse.worse and better.worse)
    assert worse.low <= worse.difference + 1e-12
    assert worse.difference <= worse.high + 1e-12
    assert not compare(items(np.abs(values)))[0].worse


def test_noise_is_no_regression_in_nineteen_of_twenty() -> None:
    random = np.random.default_rng(0)
    found = [flip_p(random.normal(0, 0.2, 30)) < ALPHA for _ in range(200)]
    assert sum(found) <= 20


def test_a_loss_in_one_stratum_is_found_though_the_rest_gains() -> None:
    random = np.random.default_rng(1)
    size = np.repeat([1.0, 5.0, 20.0], 30)
    difference = np.where(size == 1, -0.2, 0.15) + random.normal(0, 0.05, 90)
    strata = named(compare(items(difference, volume_um3=size)))
    assert not strata[EVERYTHING].worse
    assert strata["small objects"].worse
    assert [name for name, stratum in strata.items() if stratum.worse] == ["small objects"]
    assert strata["small objects"].objects == 30
    assert "small objects: 0.497" in strata["small objects"].figures()
    assert "against 0.700" in strata["small objects"].figures()


@pytest.mark.parametrize("column", ["volume_um3", "depth_um", "neighbours"])
def test_each_property_makes_three_strata(column: str) -> None:
    strata = compare(items(np.zeros(9), **{column: np.arange(9.0)}))
    assert [stratum.objects for stratum in strata] == [9, 3, 3, 3]


def test_a_loss_that_is_certain_but_tiny_is_tolerated() -> None:
    assert not compare(items(np.full(100, -0.005)))[0].worse
    assert compare(items(np.full(100, -0.02)))[0].worse


def test_spurious_objects_count_as_much_as_missed_ones() -> None:
    strata = named(compare(items(np.zeros(10), spurious=(-1.0,) * 9 + (0.0, 1.0))))
    found = strata[SPURIOUS]
    assert (found.in_use, found.candidate) == (2, 10)
    assert found.worse
    assert strata[EVERYTHING].objects == 21
    assert "10 against 2" in found.figures()


def test_objects_are_paired_with_both_predictions() -> None:
    _, truth = scene()
    candidate = truth.copy()
    candidate[truth == 5] = 0
    candidate[0, 0, :2] = 999
    everywhere = np.ones(SHAPE, bool)
    found = paired_objects(truth, everywhere, truth, candidate, SPACING_UM)
    ids = np.unique(truth)[1:]
    np.testing.assert_allclose(found.in_use, 1)
    np.testing.assert_allclose(found.candidate, ids != 5)
    np.testing.assert_allclose(found.volume_um3, np.bincount(truth.ravel())[ids] * 0.5)
    depth = [np.argwhere(truth == i)[:, 0].mean() * 2.0 for i in ids]
    np.testing.assert_allclose(found.depth_um, depth)
    assert found.spurious.tolist() == [-1]
    back = paired_objects(truth, everywhere, candidate, truth, SPACING_UM)
    assert back.spurious.tolist() == [1]
    both = paired_objects(truth, everywhere, candidate, candidate, SPACING_UM)
    assert both.spurious.tolist() == [0]


def test_only_what_was_verified_counts() -> None:
    _, truth = scene()
    counts = np.zeros(SHAPE, bool)
    counts[:, 30:] = True
    candidate = truth.copy()
    candidate[:, :20] = 0
    candidate[0, 0, :2] = 999
    found = paired_objects(truth, counts, truth, candidate, SPACING_UM)
    inside = [i for i in np.unique(truth)[1:] if counts[truth == i].mean() > 0.5]
    assert 0 < found.in_use.size == len(inside)
    np.testing.assert_allclose(found.candidate, 1)
    assert not found.spurious.size


def test_neighbours_are_counted_within_one_diameter() -> None:
    truth = np.zeros((6, 40, 60), np.uint32)
    for number, x in enumerate((2, 10, 50), start=1):
        truth[1:5, 18:22, x : x + 4] = number
    found = paired_objects(truth, truth >= 0, truth, truth, (1.0, 1.0, 1.0))
    assert found.neighbours.tolist() == [1, 1, 0]


def test_a_mask_of_another_shape_is_refused() -> None:
    _, truth = scene()
    with pytest.raises(MetricError, match="mask of the truth's shape"):
        paired_objects(truth, np.ones((2, 2, 2), bool), truth, truth, SPACING_UM)


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
    assert (done.replaced, done.compared_with, done.stacks) == (None, "bright", ("check",))
    assert done.strata[0].difference == 0
    (entry,) = promotions(bench.project)
    assert (entry["run"], entry["by"], entry["forced"]) == ("fake-0001", "anna", False)
    assert entry["weights_sha256"] == f"{1:064x}"
    assert done.sentence() == "fake-0001 is in use now"
    assert done.table().row_count == len(done.strata)


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
    with pytest.raises(ProjectError, match="--why"):
        promote(bench.project, run, Silent(), force=True)
    done = promote(bench.project, run, Silent(), force=True, why="to see", by="ben")
    (entry,) = promotions(bench.project)
    assert (entry["forced"], entry["by"], entry["why"]) == (True, "ben", "to see")
    assert entry["objections"][0] == "it finds no object in check"
    assert entry["when"]
    assert "forced against" in done.sentence()


def test_without_val_stacks_it_is_what_training_held_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(tmp_path, monkeypatch)
    bench.add("learn", "train", labelled=True)
    reporter = Silent()
    done = promote(bench.project, bench.run("fake-0001"), reporter)
    cut = SHAPE[1] - round(SHAPE[1] * bench.project.config.training.validation_share)
    ids = np.unique(bench.labels)[1:]
    inside = [i for i in ids if (np.argwhere(bench.labels == i)[:, 1] >= cut).mean() > 0.5]
    assert done.stacks == ("learn",)
    assert done.strata[0].objects == len(inside) > 0
    assert any("in y of the training stacks" in note for note in reporter.notes)


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


def test_a_val_stack_that_is_a_test_stack_too_is_refused(bench: Bench) -> None:
    bench.add("held", "test", labelled=True, seed=1)
    with pytest.raises(LeakageError, match="check holds the same voxels as test stack held"):
        promote(bench.project, "fake-0001", Silent())
