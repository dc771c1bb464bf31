"""What a project holds, what happened to it, and what comes next."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from annotations.objects import Status
from annotations.rounds import LogEntry
from hitl.project import Project


@dataclass(frozen=True)
class StackState:
    """One stack: size, objects by status, share of verified voxels."""

    name: str
    split: str
    shape_czyx: tuple[int, ...]
    spacing_um: tuple[float, float, float]
    objects: dict[str, int]
    verified_share: float


@dataclass(frozen=True)
class RunState:
    """One finished run."""

    run: str
    made: str
    round: int
    validation: dict[str, float]


@dataclass(frozen=True)
class Overview:
    """Stacks, runs, the last round and a hint."""

    project: str
    last_round: int | None
    stacks: tuple[StackState, ...]
    runs: tuple[RunState, ...]
    unfinished_runs: tuple[str, ...]
    next: str

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return asdict(self)

    def table(self) -> Any:
        """Return what is printed for people."""
        from rich.console import Group
        from rich.table import Table

        round_ = "no round yet" if self.last_round is None else f"last round: {self.last_round}"
        stacks = Table(title=f"{self.project}: {round_}")
        for column in ("stack", "split", "voxels (z, y, x)", "µm (z, y, x)"):
            stacks.add_column(column)
        for column in (*(s.name.lower() for s in Status), "verified"):
            stacks.add_column(column, justify="right")
        for state in self.stacks:
            stacks.add_row(
                state.name,
                state.split,
                "×".join(map(str, state.shape_czyx[1:])),
                "×".join(f"{s:g}" for s in state.spacing_um),
                *(str(state.objects[s.name.lower()]) for s in Status),
                f"{state.verified_share:.0%}",
            )
        parts: list[Any] = [stacks]
        if self.runs:
            runs = Table()
            for column in ("run", "made", "labels of round", "validation"):
                runs.add_column(column)
            for run in self.runs:
                values = ", ".join(f"{k} {v:.3f}" for k, v in run.validation.items())
                runs.add_row(run.run, run.made, str(run.round), values)
            parts.append(runs)
        if self.unfinished_runs:
            parts.append(f"did not finish: {', '.join(self.unfinished_runs)}")
        parts.append(f"next: {self.next}")
        return Group(*parts)


@dataclass(frozen=True)
class History:
    """Every commit, newest first."""

    entries: tuple[LogEntry, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "log": [
                {
                    **asdict(entry),
                    "when": entry.when.isoformat(),
                    "config": dict(entry.config),
                    "counts": {stack: asdict(count) for stack, count in entry.counts.items()},
                }
                for entry in self.entries
            ]
        }

    def table(self) -> Any:
        """Return what is printed for people."""
        from rich.table import Table

        table = Table()
        for column in ("round", "when (UTC)", "what", "by", "objects"):
            table.add_column(column, overflow="fold")
        for entry in self.entries:
            table.add_row(
                "" if entry.round is None else str(entry.round),
                f"{entry.when:%Y-%m-%d %H:%M:%S}",
                entry.message,
                _author(entry),
                _counts(entry),
            )
        return table


def status(project: Project) -> Overview:
    """Return what the project holds."""
    store = project.store()
    states = []
    for info in store.stacks():
        view = store.stack(info.name)
        table = view.objects
        states.append(
            StackState(
                info.name,
                info.split,
                info.shape,
                info.spacing_um,
                {s.name.lower(): int(np.count_nonzero(table.status == s)) for s in Status},
                view.verified_voxels / float(np.prod(info.zyx)),
            )
        )
    runs = tuple(
        _run_state(json.loads((f / "card.json").read_text())) for f in project.finished_runs()
    )
    done = {run.run for run in runs}
    folders = sorted(project.runs_folder.glob("*")) if project.runs_folder.is_dir() else []
    rounds = store.rounds()
    return Overview(
        str(project.folder),
        rounds[-1].round if rounds else None,
        tuple(states),
        runs,
        tuple(folder.name for folder in folders if folder.name not in done),
        _next_step(states, bool(runs)),
    )


def log(project: Project) -> History:
    """Return every commit of the project's store, newest first."""
    return History(tuple(project.store().log()))


def _run_state(card: dict[str, Any]) -> RunState:
    return RunState(card["run"], card["made"], card["round"], card["validation"])


def _next_step(states: list[StackState], trained: bool) -> str:
    learnable = [state for state in states if state.split != "test"]
    tested = [s for s in states if s.split == "test" and any(s.objects.values())]
    if not learnable:
        return "add a stack to learn from: hitl add PROJECT IMAGE"
    if not any(any(state.objects.values()) for state in learnable):
        return "make the first labels: hitl bootstrap PROJECT"
    if not trained:
        return "train a model: hitl train PROJECT stardist3d (or unet3d)"
    if not tested:
        return (
            "add a stack with hand-made labels to test on: "
            "hitl add PROJECT IMAGE --split test --labels FILE"
        )
    return "score the models: hitl evaluate PROJECT"


def _author(entry: LogEntry) -> str:
    if entry.model is not None and entry.model.weights_sha256:
        return f"{entry.author} (weights {entry.model.weights_sha256[:12]})"
    return entry.author or ""


def _counts(entry: LogEntry) -> str:
    total = asdict(entry.total)
    return ", ".join(f"{number} {what}" for what, number in total.items() if number)
