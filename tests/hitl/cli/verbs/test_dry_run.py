"""`--dry-run`: what is told is what is done afterwards, and nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hitl.cli import run
from hitl.labelling.propose import propose
from hitl.project.reporter import Silent
from hitl.training.promote import promote
from tests.hitl.class_fields import add_series
from tests.hitl.fake_model import Bench, make_bench
from tests.hitl.labelling.test_propose import correct

Said = Callable[..., str]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Proposals of which a person judged two, a field to compare on, and runs that differ."""
    made = make_bench(tmp_path, monkeypatch)
    made.add("learn", "train", labelled=False)
    propose(made.project, made.run("fake-0001"), (), Silent())
    correct(made)
    made.add("check", "val", labelled=True, seed=1)
    made.run("fake-0002", missing="small", spurious=4)
    made.run("fake-0003", shrink=1)
    return made


@pytest.fixture
def said(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Said:
    """Run a verb on the project and give what it prints; a dry run must leave every file alone."""

    def call(verb: str, *arguments: object, code: int = 0) -> str:
        capsys.readouterr()
        before = contents(bench.project.folder)
        assert run([verb, str(bench.project.folder), *map(str, arguments)]) == code
        if "--dry-run" in arguments:
            assert contents(bench.project.folder) == before
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    return call


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file and folder, with when it was written and what it holds."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in [folder, *sorted(folder.rglob("*"))]
    }


def data(said: Said, *arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(*arguments, "--json"))
    return found


def untimed(found: dict[str, Any]) -> dict[str, Any]:
    """What a verb says, but for how long it took and whether it was done."""
    fields = found.get("fields", [])
    if isinstance(fields, list):
        fields = [{**f, "seconds": 0} if isinstance(f, dict) else f for f in fields]
    return {**found, "fields": fields, "dry_run": None}


def test_propose_tells_what_it_would_do(bench: Bench, said: Said) -> None:
    add_series(bench, "movie", "train", labelled=False)
    told = data(said, "propose", "--model", "fake-0002", "--dry-run")
    assert told["dry_run"] is True
    done = data(said, "propose", "--model", "fake-0002")
    assert untimed(told) == untimed(done)
    assert done["round"] == bench.store.last_round()
    (learn,) = (field for field in done["fields"] if field["field"] == "learn")
    assert learn["added"] > 0 and learn["deleted"] > 0 and learn["voxels"] > 0
    assert learn["kept"] == 1
    text = said("propose", "--model", "fake-0003", "--dry-run")
    assert f"would be round {done['round'] + 1}, proposed by fake-0003; nothing was written" in text
    assert "would" not in said("propose", "--model", "fake-0003")


def test_a_proposal_that_would_be_refused_is_refused(bench: Bench, said: Said) -> None:
    again = ("propose", "--model", "fake-0001", "--dry-run")
    assert "the labels are what fake-0001 proposes already" in said(*again, code=1)
    nothing = bench.run("fake-0004", missing="all")
    assert "found no object" in said("propose", "--model", nothing, "--dry-run", code=1)


def test_rollback_tells_what_it_would_take_back(bench: Bench, said: Said) -> None:
    propose(bench.project, "fake-0002", (), Silent())
    last = bench.store.last_round()
    told = data(said, "rollback", 0, "--dry-run")
    text = " ".join(said("rollback", 0, "--dry-run").split())
    assert f"round {last + 1} would equal round 0; it would take back rounds 1, 2" in text
    assert "nothing was written" in text
    done = data(said, "rollback", 0)
    assert (told["dry_run"], done["dry_run"]) == (True, False)
    assert untimed(told) == untimed(done)
    assert done["fields"]["learn"]["added"] > 0
    assert "is the last one" in said("rollback", last + 1, "--dry-run", code=1)
    assert "round 9" in said("rollback", 9, "--dry-run", code=1)


def test_promote_compares_and_tells_its_verdict(bench: Bench, said: Said) -> None:
    told = data(said, "promote", "fake-0003", "--dry-run")
    assert (told["dry_run"], told["refused"]) == (True, True)
    assert "fake-0003 would be refused, it is worse: all objects" in said(
        "promote", "fake-0003", "--dry-run"
    )
    refused = said("promote", "fake-0003", code=1)
    assert all(objection in refused for objection in told["objections"])
    forced = ("promote", "fake-0003", "--force", "--why", "a start")
    told, done = data(said, *forced, "--dry-run"), data(said, *forced)
    assert untimed(told) == untimed(done)
    assert "is in use already" in said("promote", "fake-0003", "--dry-run", code=1)
    told, text = (f("promote", "fake-0001", "--dry-run") for f in (lambda *a: data(said, *a), said))
    assert "fake-0001 would be in use in place of fake-0003; nothing was written" in text
    assert told["strata"] == data(said, "promote", "fake-0001")["strata"]


def test_promote_reads_predictions_that_are_there(bench: Bench, said: Said) -> None:
    first = data(said, "promote", "fake-0001", "--dry-run")
    promote(bench.project, "fake-0001", Silent())
    bench.project.folder.joinpath("in_use.json").unlink()
    assert list(bench.project.folder.glob("predictions/fake-0001/*.tif"))
    assert untimed(data(said, "promote", "fake-0001", "--dry-run")) == untimed(first)


def test_labels_of_a_movie_are_compared_time_point_by_time_point(bench: Bench, said: Said) -> None:
    add_series(bench, "movie", "val", seed=30)
    told = data(said, "promote", "fake-0001", "--dry-run")
    done = data(said, "promote", "fake-0001")
    assert untimed(told) == untimed(done)
    assert np.isclose(done["strata"][0]["difference"], 0)
