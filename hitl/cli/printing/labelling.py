"""What is printed of labelling: fields added, rounds made, compared and taken back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from annotations.changes import ObjectChange
from annotations.differences import LabelsDiff, RoundDiff
from annotations.history import BlameEntry, RolledBack
from annotations.rounds import EditCounts
from annotations.status import Garbage
from hitl.cli.printing.project import author
from hitl.cli.tables import plain_table
from hitl.labelling.add import Added
from hitl.labelling.corrections import counted
from hitl.labelling.exchange.export import Exported
from hitl.labelling.exchange.importing import Imported
from hitl.labelling.proposals import Proposed
from labels.numbers import number_of

MOST_ROWS = 200
"""Changes that a table lists; `--json` has all of them."""


def added(done: Added) -> tuple[dict[str, Any], str]:
    """Tell of a field that was added."""
    info = done.field
    times, channels, *zyx = info.shape
    size = " × ".join(str(n) for n in zyx)
    step = " × ".join(f"{s:g}" for s in info.spacing_um)
    data = {
        "field": info.name,
        "split": info.split,
        "shape_tczyx": info.shape,
        "spacing_um": info.spacing_um,
        "time_step_s": info.time_step_s,
        "channels": info.channels,
        "classes": {each.name: [info.channels[n] for n in each.seen] for each in info.classes},
        "metadata": info.metadata,
        "objects": sum(done.objects.values()),
        "objects_by_class": done.objects,
        "shares_voxels_with": [copy.other(info.name).name for copy in done.copies],
        "copies": [copy.as_data() for copy in done.copies],
    }
    text = f"added {info.name} ({info.split}): {size} voxels of {step} µm"
    text += f", {channels} channels" if channels > 1 else ""
    text += f", {times} time points" if times > 1 else ""
    several = len(info.classes) > 1
    for name, count in done.objects.items():
        text += f", {number_of(count, 'labelled object')}" + (f" of {name}" if several else "")
    if several:
        text += "; classes: " + ", ".join(
            f"{each.name} ({', '.join(info.channels[n] for n in each.seen)})"
            for each in info.classes
        )
    return data, text


def bootstrapped(done: Proposed) -> tuple[dict[str, Any], Any]:
    """Tell of a round of first labels."""
    fields = [{"field": s.field, "objects": s.found, "seconds": s.seconds} for s in done.fields]
    return {"round": done.round, "segmenter": done.model, "fields": fields}, plain_table(
        ("field", "objects", "seconds"),
        [(s.field, str(s.found), f"{s.seconds:.1f}") for s in done.fields],
        title=f"round {done.round}, bootstrapped with {done.model}",
    )


def proposed(done: Proposed) -> tuple[Proposed, Any]:
    """Tell of a round of proposals."""
    counted = ("added", "deleted", "split", "merged", "reshaped")
    columns = (*counted, "unchanged", "kept", "voxels")
    title = f"round {done.round}, proposed by {done.model}"
    if done.dry_run:
        title = f"would be {title}; nothing was written"
    return done, plain_table(
        ("field", *columns, "seconds"),
        [
            (s.field, *(str(getattr(s, name)) for name in columns), f"{s.seconds:.1f}")
            for s in done.fields
        ],
        title=title,
        right=(*columns, "seconds"),
    )


def exported(done: Exported) -> tuple[Exported, str]:
    """Tell of the files of an export."""
    state = "as added" if done.round is None else f"round {done.round}"
    listed = "\n".join(f"  {file}" for file in done.files)
    return done, (
        f"{number_of(done.objects, 'object')} of {done.field} ({state}):\n{listed}\n{done.hint}, "
        f"then `hitl import PROJECT {done.field} {done.labels}`"
    )


def imported(done: Imported) -> tuple[Imported, str]:
    """Tell of a round of corrected labels."""
    what = counted(done.counts) or "no object changed"
    if done.dry_run:
        return done, f"would be round {done.round} of {done.field}: {what}; nothing was written"
    more = number_of(done.verified_voxels or 0, "more voxel is", "more voxels are")
    return done, f"round {done.round} of {done.field}: {what}; {more} verified"


def difference(found: RoundDiff) -> tuple[dict[str, Any], Any]:
    """Tell what differs between two rounds."""
    from rich.console import Group

    data = {
        "a": found.a,
        "b": found.b,
        "fields": [{**vars(field), "counts": field.counts()} for field in found.fields],
        "added_fields": found.added,
        "removed_fields": found.removed,
    }
    changes = [(field.field, change) for field in found.fields for change in field.changes]
    where = number_of(len(found.fields), "field")
    title = f"round {found.a} to {found.b}: {number_of(len(changes), 'change')} in {where}"
    for names, what in ((found.added, "added"), (found.removed, "removed")):
        title += f"; {what}: {', '.join(names)}" if names else ""
    listed = plain_table(
        ("field", "change", "before", "after", "gained", "lost", "where (z, y, x)", "status"),
        [_change_row(field, change) for field, change in changes[:MOST_ROWS]],
        right=("gained", "lost"),
    )
    rest = len(changes) - MOST_ROWS
    more = [f"and {number_of(rest, 'more change')}: --json has all of them"] if rest > 0 else []
    return data, Group(_count_table(found.fields, title), listed, *more)


def blamed(field: str, object_id: int, entries: Iterable[BlameEntry]) -> tuple[dict[str, Any], Any]:
    """Tell one object's history, oldest first."""
    changes, rows = [], []
    for found in entries:
        entry, model = found.entry, found.entry.model
        changes.append(
            {
                "round": entry.round,
                "when": entry.when,
                "kind": entry.kind,
                "by": entry.author,
                "model": model and model.name,
                "weights_sha256": model and model.weights_sha256,
                "message": entry.message,
                "what": found.what,
                "status": found.status,
                "confidence": found.confidence,
                "gained": found.gained,
                "lost": found.lost,
            }
        )
        rows.append(
            (
                "" if entry.round is None else str(entry.round),
                f"{entry.when:%Y-%m-%d %H:%M:%S}",
                entry.kind,
                author(entry),
                ", ".join(found.what),
                str(found.gained),
                str(found.lost),
                found.status or "",
            )
        )
    table = plain_table(
        ("round", "when (UTC)", "kind", "by", "what", "gained", "lost", "status"),
        rows,
        title=f"object {object_id} of {field}",
        right=("gained", "lost"),
    )
    return {"field": field, "object": object_id, "changes": changes}, table


def rolled_back(done: RolledBack) -> tuple[dict[str, Any], Any]:
    """Tell of a round that brought an earlier one back."""
    undone = ", ".join(map(str, done.undone))
    rounds = "rounds" if len(done.undone) > 1 else "round"
    equals, takes = ("would equal", "would take") if done.dry_run else ("equals", "takes")
    title = (
        f"round {done.round} {equals} round {done.to}; it {takes} back {rounds} {undone}, "
        f"which {'stay' if len(done.undone) > 1 else 'stays'} in the log"
    )
    if done.left_alone:
        title += f"; added since and left alone: {', '.join(done.left_alone)}"
    if done.gone:
        title += f"; removed since and not brought back: {', '.join(done.gone)}"
    if done.dry_run:
        title += "; nothing was written"
    data = {**vars(done), "fields": {s.field: s.counts() for s in done.fields}}
    return data, _count_table(done.fields, title)


def collected(found: Garbage) -> tuple[Garbage, str]:
    """Tell what no round refers to."""
    done = "freed" if found.removed else "would free"
    return found, (
        f"{done} {found.bytes / 1e6:.1f} MB ({number_of(found.chunks, 'chunk')}, "
        f"{number_of(found.manifests, 'manifest')}, {number_of(found.snapshots, 'snapshot')}); "
        "every round is kept"
    )


def _change_row(field: str, change: ObjectChange) -> tuple[str, ...]:
    statuses = [
        f"{before or 'none'} to {after or 'none'}"
        for before, after in change.statuses.values()
        if before != after
    ]
    return (
        field,
        change.kind,
        ", ".join(map(str, change.before)),
        ", ".join(map(str, change.after)),
        str(change.gained),
        str(change.lost),
        ", ".join(f"{low}–{high - 1}" for low, high in change.box) if change.box else "",
        ", ".join(dict.fromkeys(statuses)),
    )


def _count_table(fields: Sequence[LabelsDiff], title: str) -> Any:
    kinds = [item.name for item in dataclasses.fields(EditCounts)]
    columns = (*kinds, "verified voxels")
    rows = []
    for field in fields:
        counts = field.counts()
        figures = (*(str(getattr(counts, kind)) for kind in kinds), f"{field.verified_voxels:+d}")
        rows.append((field.field, *figures))
    return plain_table(("field", *columns), rows, title=title, right=columns)
