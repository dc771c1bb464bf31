"""What is printed of a project: what it holds, and its history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from annotations.objects import Status
from annotations.rounds import LogEntry
from hitl.cli.tables import plain_table
from hitl.project.config import CONFIG_NAME
from hitl.project.folder import Project
from hitl.project.models import CatalogueRow, Options
from hitl.project.status import Overview


def made(project: Project) -> tuple[dict[str, Any], str]:
    """Tell of a new project."""
    folder = project.folder
    data = {"project": folder, "config": folder / CONFIG_NAME}
    return data, f"made project {folder}; next: hitl add {folder} IMAGE"


def _size(shape_tczyx: Sequence[int]) -> str:
    """Return voxels, and channels and time points where there are several."""
    times, channels, *zyx = shape_tczyx
    size = "×".join(map(str, zyx))
    size += f", {channels} channels" if channels > 1 else ""
    return size + (f", {times} times" if times > 1 else "")


def overview(found: Overview) -> tuple[Overview, Any]:
    """Tell of fields, runs, scores, and what comes next."""
    from rich.console import Group

    round_ = "no round yet" if found.last_round is None else f"last round: {found.last_round}"
    statuses = [status.name.lower() for status in Status]
    parts: list[Any] = [
        plain_table(
            ("field", "split", "voxels z, y, x", "µm z, y, x", *statuses, "verified"),
            [
                (
                    state.name,
                    state.split,
                    _size(state.shape_tczyx),
                    "×".join(f"{s:g}" for s in state.spacing_um),
                    *(str(state.objects[status]) for status in statuses),
                    f"{state.verified_share:.0%}",
                )
                for state in found.fields
            ],
            title=f"{found.project}: {round_}",
            right=(*statuses, "verified"),
        )
    ]
    if found.runs:
        rows = [
            (
                f"{run.run} (in use)" if run.run == found.in_use else run.run,
                run.made[:19].replace("T", " "),
                str(run.round),
                ", ".join(f"{k} {v:.3f}" for k, v in run.validation.items()),
            )
            for run in found.runs
        ]
        parts.append(plain_table(("run", "made (UTC)", "labels of round", "validation"), rows))
    if found.scores:
        scored = [
            (
                one.model,
                _figure(one.score),
                _figure(one.f1),
                one.evaluation if one.comparable else f"{one.evaluation}, on other objects",
            )
            for one in found.scores
        ]
        title = f"all models that were scored on split {found.split}, the best first"
        parts.append(plain_table(("model", "score", "F1", "evaluation"), scored, title=title))
    if found.unfinished_runs:
        parts.append(f"did not finish: {', '.join(found.unfinished_runs)}")
    parts.append(f"next: {found.next}")
    return found, Group(*parts)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def catalogue(rows: Sequence[CatalogueRow]) -> tuple[dict[str, Any], Any]:
    """Tell which models and extras can be run here."""
    return {"models": rows}, plain_table(
        ("name", "what it is", "use", "channels", "ready", "what is missing"),
        [(r.name, r.about, r.use, r.channels, "yes" if r.ready else "no", r.missing) for r in rows],
        title="what can be run here",
    )


def model_options(found: Options) -> tuple[dict[str, Any], Any]:
    """Tell the options of one model."""
    keys = ("key", "type", "default", "meaning")
    options = [dict(zip(keys, row, strict=True)) for row in found.rows]
    table = plain_table(keys, found.rows, title=f"options of {found.name}")
    return {"model": found.name, "options": options}, table


def history(entries: Sequence[LogEntry]) -> tuple[dict[str, Any], Any]:
    """List every commit, newest first."""
    table = plain_table(
        ("round", "when (UTC)", "what", "by", "objects"),
        [
            (
                "" if entry.round is None else str(entry.round),
                f"{entry.when:%Y-%m-%d %H:%M:%S}",
                entry.message,
                author(entry),
                ", ".join(f"{n} {what}" for what, n in asdict(entry.total).items() if n),
            )
            for entry in entries
        ],
        right=("round",),
    )
    return {"log": entries}, table


def author(entry: LogEntry) -> str:
    """Name who made a commit, a model with its weights."""
    if entry.model is not None and entry.model.weights_sha256:
        return f"{entry.author} (weights {entry.model.weights_sha256[:12]})"
    return entry.author or ""
