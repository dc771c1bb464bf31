"""Training the cells of a sweep, one after the other, from where it was left."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from filelock import FileLock, Timeout

from annotations.store import AnnotationStore
from hitl.evaluation.evaluate import evaluate, find_truths
from hitl.evaluation.requests import EvaluateRequest
from hitl.project.config import SweepConfig, load_config, parse_config, trainer_options
from hitl.project.errors import ConfigError, HitlError, NothingToDoError
from hitl.project.folder import Project
from hitl.project.presets import find_preset
from hitl.project.reporter import Reporter
from hitl.project.runs import read_card
from hitl.training.folds import BY_FIELD, check_folds, collect_folds
from hitl.training.preflight import told_first
from hitl.training.requests import SweepRequest
from hitl.training.samples import TrainingSet, collect_samples
from hitl.training.sweep.cells import CellRun, Values, begin_cell, find_cells
from hitl.training.sweep.grid import (
    Cell,
    cell_fingerprint,
    count_cells,
    data_fingerprint,
    make_cells,
)
from hitl.training.sweep.plot import write_plot
from hitl.training.sweep.result import (
    COLUMNS,
    FOLD_COLUMNS,
    TEST_COLUMNS,
    CellResult,
    Sweep,
    write_tables,
)
from hitl.training.sweep.scoring import score_cell
from hitl.training.train import resolve_base, train_into
from labels.hashing import values_sha256
from labels.numbers import number_of
from models.errors import ModelError
from models.registry import one_channel

ASK_ABOVE = 100
"""More cells than this are trained only when the user has said so."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")

MEMORY_ERRORS = ("OutOfMemoryError", "ResourceExhaustedError", "MemoryError")
"""Names of what torch, TensorFlow and Python raise when memory is used up."""


class SweepError(HitlError):
    """A sweep that is too large, runs already, or of which no cell could be trained."""


def sweep(project: Project, request: SweepRequest, reporter: Reporter) -> Sweep:
    """Train every cell that is not trained yet, score all on the validation part, write the table.

    Raises
    ------
    ConfigError, UnknownModelError
        No such model, key, value or column; an empty grid.
    SweepError
        Too many cells without `yes`, another sweep at work, or no cell that could be trained.
    LeakageError, NothingToDoError
        See `collect_samples`; also no test field to evaluate on.
    KeyboardInterrupt
        After the table of what is done was written.
    """
    sortable = (*COLUMNS, *FOLD_COLUMNS)
    if request.sort not in sortable:
        raise ConfigError(f"--sort {request.sort}: expected one of {', '.join(sortable)}")
    check_folds(request.folds, request.by)
    if request.name and NAME.fullmatch(request.name) is None:
        raise ConfigError(
            f"--name {request.name}: expected a name of letters, digits, dots, dashes and "
            "underscores that begins with a letter or digit"
        )
    options, spec, where = _specification(project, request, reporter)
    count = count_cells(spec) * max(request.folds, 1)
    if not request.yes and count > ASK_ABOVE:
        raise SweepError(_too_many(project, request.model, {**options, **spec.set}, count))
    spec = _with_base_runs(project, spec)
    cells = make_cells(request.model, resolve_base(project, options), spec, where)
    store = project.store()
    if request.evaluate:
        try:
            find_truths(store, EvaluateRequest(), reporter)
        except NothingToDoError as error:
            raise NothingToDoError(f"--evaluate: {error}; or leave it out") from error
    (project.folder / "sweeps").mkdir(exist_ok=True)
    lock = FileLock(project.folder / "sweeps" / ".lock")
    try:
        with lock.acquire(timeout=0):
            parts = _parts(project, store, request, reporter)
            return _Work(project, request, cells, parts, reporter).run()
    except Timeout as exc:
        raise SweepError(
            f"another sweep is at work in {project.folder}; wait until it is over"
        ) from exc


@dataclass(frozen=True)
class _Part:
    """What a cell is trained and scored on; `fold` is None where there are no folds."""

    fold: int | None
    data: TrainingSet
    scored: TrainingSet

    @property
    def fingerprint(self) -> str:
        """Of all that a training, and its score, depend on."""
        own = data_fingerprint(self.data)
        return own if self.fold is None else values_sha256(own, data_fingerprint(self.scored))


def _parts(
    project: Project, store: AnnotationStore, request: SweepRequest, reporter: Reporter
) -> list[_Part]:
    about = (store, project.config, request.fields, reporter, request.classes)
    alone = one_channel(request.model)
    if not request.folds:
        data = collect_samples(*about, one_channel=alone)
        reporter.note(told_first(data))
        return [_Part(None, data, data)]
    by = request.by or BY_FIELD
    found = collect_folds(*about, request.folds, by, one_channel=alone)
    return [_Part(fold.number, fold.data, fold.scored) for fold in found]


def _specification(
    project: Project, request: SweepRequest, reporter: Reporter
) -> tuple[dict[str, Any], SweepConfig, str]:
    """Return the options that all cells share, the sweep, and where it is written down."""
    model, source, where = request.model, project.config, str(project.folder / "hitl.yaml")
    options = dict(source.training.models.get(model, {}))
    if request.config is not None:
        path = find_preset(request.config)
        source, where = load_config(path), str(path)
        options |= source.training.models.get(model, {})
        used = {"sweep": source.sweep, "training": {"models": source.training.models}}
        if source != parse_config(used):
            reporter.note(
                f"takes the sections sweep and training.models of {path.name}; preprocessing and "
                "all else is the project's own"
            )
    if request.settings:
        trainer_options(project.config, model, request.settings)
    spec = source.sweep.get(model, SweepConfig())
    changes: dict[str, Any] = {"set": {**spec.set, **request.settings}}
    if request.grid:
        changes["grids"], where = (dict(request.grid),), "--grid"
    if request.seeds:
        changes["seeds"] = request.seeds
        if not (request.grid or spec.grids):
            changes["grids"] = ({},)
    return options, spec.model_copy(update=changes), f"{where}: {model}"


def _with_base_runs(project: Project, spec: SweepConfig) -> SweepConfig:
    """Let `base_run` be a run's id here too."""

    def folders(grid: dict[str, list[Any]]) -> dict[str, list[Any]]:
        if "base_run" not in grid:
            return grid
        bases = [resolve_base(project, {"base_run": base})["base_run"] for base in grid["base_run"]]
        return {**grid, "base_run": bases}

    return spec.model_copy(
        update={
            "set": resolve_base(project, spec.set),
            "grids": tuple(folders(grid) for grid in spec.grids),
        }
    )


def _too_many(project: Project, model: str, options: Mapping[str, Any], count: int) -> str:
    minutes = _minutes_per_cell(project, model, options)
    time = "" if minutes is None else f", about {number_of(round(count * minutes / 60), 'hour')}"
    if minutes is None:
        time = " of unknown length (train one with `hitl train` to know)"
    return f"the grid has {count} cells{time}; take fewer values, or say --yes to train them all"


def _minutes_per_cell(project: Project, model: str, options: Mapping[str, Any]) -> float | None:
    """Return how long a training takes: its time budget, or what earlier runs took."""
    if options.get("max_minutes") is not None:
        return float(options["max_minutes"])
    cards = [read_card(folder) for folder in project.finished_runs()]
    seconds = [card["seconds"] for card in cards if card["model"] == model and "seconds" in card]
    return statistics.median(seconds) / 60 if seconds else None


class _CellReporter:
    """Tells which cell the progress is of."""

    def __init__(self, reporter: Reporter, number: int, count: int) -> None:
        self._reporter = reporter
        self._where = f"cell {number} of {count}"

    def note(self, message: str) -> None:
        self._reporter.note(message)

    def step(self, command: str) -> None:
        self._reporter.step(command)

    def progress(self, done: int, total: int, what: str) -> None:
        self._reporter.progress(done, total, f"{self._where}: {what}")


class _Work:
    """One sweep at work."""

    def __init__(
        self,
        project: Project,
        request: SweepRequest,
        cells: list[Cell],
        parts: list[_Part],
        reporter: Reporter,
    ) -> None:
        self._project, self._request, self._reporter = project, request, reporter
        jobs = [(cell, part, part.fingerprint) for part in parts for cell in cells]
        self._jobs = {
            cell_fingerprint(request.model, cell, hashed): (cell, part)
            for cell, part, hashed in jobs
        }
        self._keys = list(self._jobs)
        known = find_cells(project)
        self._runs = {key: known[key] for key in self._keys if key in known}
        self._test: dict[str, Values] = {}
        name = values_sha256(*sorted(self._keys))[:6]
        self._name = request.name or f"{request.model}-{name}"

    def run(self) -> Sweep:
        self._tell_plan()
        try:
            for number, key in enumerate(self._keys, 1):
                reporter = _CellReporter(self._reporter, number, len(self._keys))
                self._runs[key] = self._finish(key, *self._jobs[key], reporter)
                write_tables(self._result())
        except KeyboardInterrupt:
            self._tell_interrupted()
            raise
        done = self._result()
        write_plot(done)
        if not any(cell.state == "done" for cell in done.cells):
            raise SweepError(
                f"none of {number_of(len(done.cells), 'cell')} could be trained; "
                f"{done.cells[0].label}: {done.cells[0].reason}"
            )
        if self._request.evaluate:
            self._evaluate()
        write_tables(self._result())
        return self._result()

    def _finish(self, key: str, cell: Cell, part: _Part, reporter: Reporter) -> CellRun:
        """Train and score a cell, unless that has been done."""
        run = self._runs.get(key)
        if run is None or (run.state == "failed" and self._request.retry_failed):
            run = begin_cell(self._project, self._request.model, key)
            self._runs[key] = run
        if run.state == "failed" or run.scores:
            return run
        try:
            if run.state == "interrupted":
                run = self._train(run, cell, part, reporter)
            return run.keep(score_cell(self._project, run.folder, part.scored, reporter))
        except Exception as exc:
            if not isinstance(exc, ModelError) and type(exc).__name__ not in MEMORY_ERRORS:
                raise
            reason = " ".join((str(exc) or "out of memory").split())
            self._reporter.note(f"{cell.label} ({run.folder.name}) failed: {reason}")
            return run.fail(reason)

    def _train(self, run: CellRun, cell: Cell, part: _Part, reporter: Reporter) -> CellRun:
        started = time.monotonic()
        try:
            train_into(
                run.folder, self._project, self._request.model, cell.options, part.data, reporter
            )
        finally:
            run = run.spend(time.monotonic() - started)
        return run

    def _evaluate(self) -> None:
        """Score the trained cells on the test fields; they are not sorted by it."""
        quiet = self._project.config.evaluation.model_copy(update={"picture": False})
        project = replace(
            self._project, config=self._project.config.model_copy(update={"evaluation": quiet})
        )
        runs = {key: run.folder.name for key, run in self._runs.items() if run.state == "done"}
        found = evaluate(project, EvaluateRequest(models=tuple(runs.values())), self._reporter)
        for key, name in runs.items():
            mean = found.models[name].mean
            self._test[key] = {column: mean.get(column) for column in TEST_COLUMNS}

    def _result(self) -> Sweep:
        rows = [self._row(key, cell, part.fold) for key, (cell, part) in self._jobs.items()]
        folder = self._project.folder / "sweeps" / self._name
        return Sweep(self._name, self._request.model, folder, self._request.sort, tuple(rows))

    def _row(self, key: str, cell: Cell, fold: int | None) -> CellResult:
        run, seed = self._runs.get(key), cell.options.get("seed")
        if run is None or not (run.scores or run.state == "failed"):
            return CellResult(cell.varied, cell.label, seed, "waiting", fold=fold)
        scores = {**run.scores, "minutes": run.seconds / 60}
        return CellResult(
            cell.varied, cell.label, seed, run.state, run.folder.name, run.reason, scores,
            self._test.get(key, {}), fold,
        )  # fmt: skip

    def _tell_plan(self) -> None:
        states = [run.state for run in self._runs.values()]
        failed = states.count("failed")
        parts = [f"{states.count('done')} trained already"] * ("done" in states)
        parts += [f"{states.count('interrupted')} to continue"] * ("interrupted" in states)
        parts += [f"{failed} failed (again with --retry-failed)"] * bool(failed)
        if states:
            self._reporter.note(f"{number_of(len(self._keys), 'cell')}: {', '.join(parts)}")

    def _tell_interrupted(self) -> None:
        done = self._result()
        write_tables(done)
        write_plot(done)
        trained = sum(cell.state == "done" for cell in done.cells)
        self._reporter.note(
            f"trained so far: {trained} of {number_of(len(done.cells), 'cell')}, see "
            f"{done.table_file}; give the same command again to go on"
        )
