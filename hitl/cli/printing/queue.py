"""What is printed of the queue: what to correct next, and what a model got wrong."""

from __future__ import annotations

from typing import Any

from annotations.names import split_view_name
from hitl.cli.tables import plain_table
from hitl.queue.build import Queue
from hitl.queue.kinds import KINDS
from hitl.queue.model_errors import ModelErrors, listed_ids
from labels.numbers import number_of


def queued(found: Queue) -> tuple[dict[str, Any], Any]:
    """Tell what to correct next."""
    data = {
        **vars(found),
        "entries": [
            {"rank": n, **vars(entry), "score": round(entry.score, 4), "why": entry.why}
            for n, entry in enumerate(found.entries, start=1)
        ],
    }
    series = any(entry.time is not None for entry in found.entries)
    table = plain_table(
        (
            "",
            "field",
            *_time(series, "time"),
            "object",
            "z, y, x",
            "expected error",
            "confidence",
            "why",
        ),
        [
            (
                str(number),
                entry.field,
                *_time(series, entry.time),
                "missed?" if entry.id is None else str(entry.id),
                ", ".join(map(str, entry.position_zyx)),
                f"{entry.score:.2f}",
                "–" if entry.confidence is None else f"{entry.confidence:.2f}",
                entry.why,
            )
            for number, entry in enumerate(found.entries, start=1)
        ],
        title=f"{len(found.entries)} of {found.open} to look at after round {found.round}",
        right=("", "time", "object", "expected error", "confidence"),
    )
    return data, table


def _time(series: bool, value: object) -> tuple[str, ...]:
    """Return a cell of the column of time points, which only series have."""
    return ("–" if value is None else str(value),) if series else ()


def errors(done: ModelErrors) -> tuple[dict[str, Any], Any]:
    """Tell what kinds of error a model made, then the places."""
    found = done.found
    data = {
        "evaluation": found.number,
        "made": found.made,
        "split": found.split,
        "round": found.round,
        "model": found.model,
        "fields": list(found.fields),
        "stale": done.stale,
        "total": done.total,
        "kinds": {k: {"places": n, "wrong": sum_} for k, (n, sum_) in done.kinds.items()},
        "errors": [{"rank": n, **vars(m)} for n, m in enumerate(done.listed, start=1)],
    }
    return data, _error_tables(done)


def _error_tables(done: ModelErrors) -> Any:
    from rich.console import Group
    from rich.markup import escape

    found = done.found
    whose = f"{found.model} on {', '.join(found.fields)}"
    which = f"evaluation {found.number} of {found.made[:10]}, split {found.split}"
    if not done.total:
        return escape(f"{whose}: every nucleus is matched and nothing is spurious ({which})")
    kinds = plain_table(
        ("error", "places", "wrong by", "that is"),
        [
            (kind, str(places), f"{wrong:.1f} nuclei", KINDS[kind])
            for kind, (places, wrong) in done.kinds.items()
        ],
        title=escape(f"errors of {whose} ({which})"),
        right=("places", "wrong by"),
    )
    return Group(kinds, _places(done), escape(_advice(done)))


def _places(done: ModelErrors) -> Any:
    from rich.markup import escape

    series = any(m.time is not None for m in done.listed)
    columns: tuple[str, ...] = (
        "", "field", *_time(series, "time"), "error", "nuclei", "predicted", "z, y, x", "wrong by",
        "IoU", "why",
    )  # fmt: skip
    rows: list[tuple[str, ...]] = [
        (
            str(number),
            escape(m.field),
            *_time(series, m.time),
            m.kind,
            listed_ids(m.truth_ids) or "–",
            listed_ids(m.pred_ids) or "–",
            ", ".join(map(str, m.position_zyx)),
            f"{m.wrong:.2f}",
            "–" if m.iou is None else f"{m.iou:.2f}",
            m.why,
        )
        for number, m in enumerate(done.listed, start=1)
    ]
    if len(done.found.fields) == 1:
        # The title says it, and the room is needed.
        columns, *rows = [(row[0], *row[2:]) for row in (columns, *rows)]
    return plain_table(
        columns,
        rows,
        title=f"{len(done.listed)} of {number_of(done.total, 'place')}, the worst first",
        right=("", "wrong by", "IoU"),
    )


def _first(done: ModelErrors) -> tuple[str, int | None]:
    """Return the address and the time point of the worst place, or of any that was scored."""
    if done.listed:
        return done.listed[0].field, done.listed[0].time
    return split_view_name(next(iter(done.found.fields)))


def _advice(done: ModelErrors) -> str:
    field, time = _first(done)
    at = "" if time is None else f" --time {time}"
    look = f"look at them: hitl correct PROJECT {field}{at} --errors"
    if done.found.split != "test":
        return look
    return (
        f"{look} (read-only: nothing is learned from test fields); then correct what is alike "
        "in the others: hitl queue PROJECT"
    )
