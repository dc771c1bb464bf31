"""Fields, runs and evaluations are taken out when that is meant, and only then."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hitl.cli import run
from hitl.prediction.predict import predict
from hitl.project.errors import NothingToDoError, ProjectError
from hitl.project.removal import remove
from hitl.project.reporter import Silent
from hitl.project.runs import IN_USE
from tests.hitl.fake_model import Bench, make_bench


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = make_bench(tmp_path, monkeypatch)
    made.add("learn", "train", labelled=True)
    made.add("spare", "train", labelled=False, seed=1)
    for name in ("fake-0001", "fake-0002"):
        made.run(name)
    predict(made.project, "fake-0001", ("learn",), None, Silent())
    made.project.folder.joinpath("evaluations/0001").mkdir(parents=True)
    made.project.folder.joinpath("evaluations/0001/scores.json").write_text("{}")
    return made


def test_nothing_is_removed_before_it_is_meant(bench: Bench) -> None:
    before = bench.store.head()
    with pytest.raises(NothingToDoError) as told:
        remove(bench.project, ["spare", "fake-0001", "0001"], yes=False)
    assert str(told.value) == (
        "would remove field spare (earlier rounds keep it), run fake-0001 (for good), evaluation "
        "0001 (for good); nothing was removed: say --yes if you mean it"
    )
    assert bench.store.head() == before
    assert bench.project.run("fake-0001").is_dir()


def test_what_is_meant_is_gone_and_the_rest_is_not(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = bench.project.folder
    names = ["spare", "fake-0001", "0001", "spare"]
    assert run(["remove", str(folder), *names, "--yes", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)["removed"]
    assert [each["kind"] for each in done] == ["field", "run", "evaluation"]
    assert [info.name for info in bench.store.fields()] == ["learn"]
    assert [f.name for f in bench.project.run_folders()] == ["fake-0002"]
    assert not list(folder.glob("predictions/*")) and not list(folder.glob("evaluations/*"))
    assert not list(folder.glob("**/*.gone"))
    assert run(["log", str(folder), "--limit", "1", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["log"]
    assert entry["message"] == "remove field spare"


def test_the_run_in_use_and_unknown_names_are_refused(bench: Bench) -> None:
    (bench.project.folder / IN_USE).write_text(json.dumps({"run": "fake-0002", "history": []}))
    with pytest.raises(ProjectError, match="run fake-0002 is in use; promote another"):
        remove(bench.project, ["spare", "fake-0002"], yes=True)
    with pytest.raises(ProjectError, match="fields learn, spare; runs fake-0001, fake-0002"):
        remove(bench.project, ["spare", "../elsewhere"], yes=True)
    assert len(bench.store.fields()) == 2, "all of what is named, or nothing"
