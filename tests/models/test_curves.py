"""Learning curves: what is written, where, and what a continued training adds to it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import curves
from models.curves import CurveLog, LoggerError, read_curves
from models.errors import CheckpointError

COLUMNS = ("epoch", "train_loss", "val_loss")


def rows(*losses: float) -> list[dict[str, float]]:
    return [{"epoch": i + 1, "train_loss": v, "val_loss": 2 * v} for i, v in enumerate(losses)]


def events(folder: Path) -> list[tuple[int, str, float]]:
    """Every scalar in the folder's event files, in the order of files and records."""
    found = []
    for path in sorted((folder / "tensorboard").glob("*tfevents*")):
        for event in curves.read_events(path):
            found += [(event.step, v.tag, v.simple_value) for v in event.summary.value]
    return found


def steps(folder: Path) -> list[int]:
    return [step for step, tag, _ in events(folder) if tag == "train_loss"]


def test_the_csv_holds_the_whole_history(tmp_path: Path) -> None:
    with CurveLog(tmp_path, COLUMNS, "csv") as log:
        log.write(rows(0.5))
        log.write(rows(0.5, 0.25))
    assert read_curves(tmp_path) == rows(0.5, 0.25)
    first = (tmp_path / "curves.csv").read_text().splitlines()
    assert first == ["epoch,train_loss,val_loss", "1,0.5,1", "2,0.25,0.5"]
    assert [p.name for p in tmp_path.iterdir()] == ["curves.csv"]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(width=32, allow_subnormal=False), min_size=1, max_size=5))
def test_any_value_comes_back(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    given_rows = [{"epoch": i, "train_loss": v} for i, v in enumerate(values)]
    with CurveLog(folder, COLUMNS) as log:
        log.write(given_rows)
    for want, got in zip(given_rows, read_curves(folder), strict=True):
        assert got["train_loss"] == pytest.approx(want["train_loss"], rel=1e-5, nan_ok=True)
        assert "val_loss" not in got
    written = [value for _, _, value in events(folder)]
    assert written == pytest.approx(values, nan_ok=True)


def test_tensorboard_gets_each_epoch_once(tmp_path: Path) -> None:
    with CurveLog(tmp_path, COLUMNS) as log:
        log.write(rows(0.5))
        assert steps(tmp_path) == [1], "a viewer sees an epoch as soon as it is over"
        log.write(rows(0.5, 0.25))
        log.write(rows(0.5, 0.25))
    assert events(tmp_path) == [
        (1, "train_loss", 0.5), (1, "val_loss", 1.0), (2, "train_loss", 0.25), (2, "val_loss", 0.5),
    ]  # fmt: skip


def test_tensorboard_itself_reads_the_files(tmp_path: Path) -> None:
    # In a process of its own: TensorBoard's reader imports TensorFlow.
    with CurveLog(tmp_path, COLUMNS) as log:
        log.write(rows(0.5, math.nan))
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n"
        f"a = EventAccumulator({str(tmp_path / 'tensorboard')!r}); a.Reload()\n"
        "print([(e.step, e.value) for e in a.Scalars('train_loss')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[(1, 0.5), (2, nan)]"


def test_a_continued_training_repeats_no_step(tmp_path: Path) -> None:
    with CurveLog(tmp_path, COLUMNS) as log:
        log.write(rows(0.5, 0.25, 0.125))
    before = _wall_times(tmp_path)
    # The third epoch was logged, but its checkpoint was not written: it is trained again.
    with CurveLog(tmp_path, COLUMNS) as log:
        log.write(rows(0.5, 0.25))
        assert steps(tmp_path) == [1, 2]
        log.write(rows(0.5, 0.25, 0.0625))
        log.write(rows(0.5, 0.25, 0.0625, 0.03125))
    assert steps(tmp_path) == [1, 2, 3, 4]
    assert [v for _, tag, v in events(tmp_path) if tag == "train_loss"][2] == 0.0625
    assert _wall_times(tmp_path)[:2] == before[:2]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


def test_a_half_written_record_is_left_behind(tmp_path: Path) -> None:
    with CurveLog(tmp_path, COLUMNS) as log:
        log.write(rows(0.5, 0.25))
    (path,) = (tmp_path / "tensorboard").iterdir()
    path.write_bytes(path.read_bytes()[:-7])
    assert steps(tmp_path) == [1]
    with CurveLog(tmp_path, COLUMNS) as log:
        log.write(rows(0.5, 0.25, 0.125))
    assert steps(tmp_path) == [1, 2, 3]


def _wall_times(folder: Path) -> list[float]:
    (path,) = (folder / "tensorboard").iterdir()
    return [event.wall_time for event in curves.read_events(path)]


def test_neither_torch_nor_tensorflow_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from models.curves import CurveLog\n"
        f"with CurveLog(Path({str(tmp_path)!r}), ('epoch', 'a')) as log:\n"
        "    log.write([{'epoch': 1, 'a': 2.0}])\n"
        "assert not {'torch', 'tensorflow', 'wandb'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("row", [{"train_loss": 1.0}, {"epoch": 1, "other": 1.0}])
def test_a_row_of_other_columns_is_refused(tmp_path: Path, row: dict[str, float]) -> None:
    with CurveLog(tmp_path, COLUMNS, "csv") as log, pytest.raises(ValueError, match="expected the"):
        log.write([row])
    assert not (tmp_path / "curves.csv").exists()


def test_columns_without_an_epoch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a column 'epoch'"):
        CurveLog(tmp_path, ("train_loss",))


def test_reading_says_what_is_missing_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"curves\.csv: expected the curves"):
        read_curves(tmp_path)
    (tmp_path / "curves.csv").write_text("epoch,train_loss\n1,abc\n")
    with pytest.raises(CheckpointError, match="damaged"):
        read_curves(tmp_path)


class FakeWandb(ModuleType):
    """As much of wandb as is used; keeps what it was told."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.inits: list[dict[str, Any]] = []
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.finished = 0
        self.refuses = False
        self.errors = SimpleNamespace(Error=type("Error", (Exception,), {}))

    def Settings(self, **settings: Any) -> dict[str, Any]:
        return settings

    def init(self, **options: Any) -> FakeWandb:
        if self.refuses:
            raise self.errors.Error("api_key not configured")
        self.inits.append(options)
        return self

    def log(self, values: dict[str, float], step: int) -> None:
        self.logged.append((step, values))

    def finish(self) -> None:
        self.finished += 1


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


def test_wandb_continues_the_same_run(tmp_path: Path, wandb: FakeWandb) -> None:
    with CurveLog(tmp_path, COLUMNS, "wandb") as log:
        log.write(rows(0.5, math.inf))
    with CurveLog(tmp_path, COLUMNS, "wandb", name="mine") as log:
        log.write(rows(0.5, 0.25, 0.125))
    assert [step for step, _ in wandb.logged] == [1, 2, 3]
    assert wandb.logged[2][1] == {"train_loss": 0.125, "val_loss": 0.25}
    first, second = (one["id"] for one in wandb.inits)
    assert first == second
    assert [one["name"] for one in wandb.inits] == [tmp_path.name, "mine"]
    assert wandb.inits[0]["project"] == "hitl-nuclei"
    assert wandb.finished == 2
    assert json.loads((tmp_path / "wandb.json").read_text()) == {"id": first, "last": 3}


def test_a_missing_wandb_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(LoggerError, match=r"pip install hitl-nuclei\[wandb\]"):
        CurveLog(tmp_path, COLUMNS, "wandb")


def test_a_wandb_that_refuses_is_told(tmp_path: Path, wandb: FakeWandb) -> None:
    wandb.refuses = True
    with pytest.raises(LoggerError, match="wandb login, or set WANDB_MODE=offline"):
        CurveLog(tmp_path, COLUMNS, "wandb")


@pytest.mark.slow
def test_true_wandb_works_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="the extra hitl-nuclei[wandb] is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for history in (rows(0.5), rows(0.5, math.nan)):
        with CurveLog(tmp_path, COLUMNS, "wandb") as log:
            log.write(history)
    assert len(list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))) == 2
