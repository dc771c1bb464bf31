"""Simulated rounds on a project's own labelled fields."""

from __future__ import annotations

import pytest

from hitl.project.errors import LeakageError, NothingToDoError
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from hitl.simulate.project_fields import simulate_project
from tests.hitl.queue.queue_project import make_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("queue"))


def test_simulated_rounds_of_a_project(project: Project) -> None:
    rounds = len(project.store().rounds())
    done = simulate_project(project, strategies=["queue", "random"], repeats=1, reporter=Silent())
    assert done.fields == ("known",)
    assert all(curves[0].points[-1].f1 == 1 for curves in done.curves.values())
    assert len(project.store().rounds()) == rounds
    with pytest.raises(NothingToDoError, match="open is not labelled"):
        simulate_project(project, fields=("open",), reporter=Silent())
    with pytest.raises(LeakageError, match="held is of split test"):
        simulate_project(project, fields=("held",), rounds=1, retrain="unet3d", reporter=Silent())


@pytest.mark.slow
def test_a_model_may_be_trained_each_round(project: Project) -> None:
    done = simulate_project(
        project,
        rounds=2,
        objects_per_round=4,
        strategies=["queue"],
        repeats=1,
        retrain="unet3d",
        reporter=Silent(),
    )
    points = done.curves["queue"][0].points
    assert done.retrained == "unet3d"
    assert [p.round for p in points][-1] == 2
    assert points[-1].objects == points[-2].objects, "the last point is that of the new proposals"
    assert not project.finished_runs()
