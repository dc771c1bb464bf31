"""What a commit says of itself: who did what, with which settings, at which cost."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, Literal, get_args

from annotations.errors import StoreError, UnknownRoundError

METADATA_FORMAT = 2
"""Version of the commit metadata."""

RoundKind = Literal["bootstrap", "propose", "correct", "import", "rollback", "simulate"]
"""What a round can be, named after the command that makes it."""

EntryKind = RoundKind | Literal["create", "add", "remove"]
"""What a commit can be: a round, or a field that came or went."""


def tag_name(number: int) -> str:
    """Return the tag of a round.

    >>> tag_name(7)
    'round-0007'
    """
    return f"round-{number:04d}"


def round_of_tag(name: str) -> int | None:
    """Return the number of the round that has a tag; None for another's tag.

    >>> round_of_tag("round-0007"), round_of_tag("v1")
    (7, None)
    """
    number = name.removeprefix("round-")
    return int(number) if number.isdecimal() and tag_name(int(number)) == name else None


@dataclass(frozen=True, kw_only=True)
class ModelRef:
    """The model that made labels.

    Parameters
    ----------
    name : str
        Name in the registry, or the run's id.
    weights_sha256 : str, optional
        None for a model without weights.
    settings : mapping
        What the segmenter says of itself, JSON-serialisable.
    """

    name: str
    weights_sha256: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EditCounts:
    """How many objects of one class in one field a round changed, by what became of them."""

    added: int = 0
    deleted: int = 0
    split: int = 0
    merged: int = 0
    reshaped: int = 0
    accepted: int = 0

    def __add__(self, other: EditCounts) -> EditCounts:
        return EditCounts(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )


@dataclass(frozen=True, kw_only=True)
class RoundInfo:
    """What is known of a round when it begins.

    Parameters
    ----------
    kind : {"bootstrap", "propose", "correct", "import", "rollback", "simulate"}
    message : str
        One line for people.
    author : str
        The annotator, or who ran the model.
    model : ModelRef, optional
        The model that made the labels. With it the round cannot change a verified voxel.
    config : mapping
        Resolved settings, JSON-serialisable.
    minutes : float, optional
        Hand work; None where it was not measured.

    Raises
    ------
    StoreError
        An unknown kind, no message or author, negative minutes, or a config that is not JSON.
    """

    kind: RoundKind
    message: str
    author: str
    model: ModelRef | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(RoundKind):
            raise StoreError(
                f"round: expected a kind of {', '.join(get_args(RoundKind))}, got {self.kind!r}"
            )
        for name in ("message", "author"):
            if not getattr(self, name).strip():
                raise StoreError(f"round: expected its {name}, got none; say it")
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes >= 0):
            raise StoreError(f"round: expected minutes of 0 or more, got {self.minutes}")
        try:
            json.dumps([self.config, asdict(self.model) if self.model else None], allow_nan=False)
        except (TypeError, ValueError) as error:
            raise StoreError(
                f"round: expected a config and model settings that JSON can hold, got {error}; "
                "give plain numbers, strings, lists and mappings"
            ) from error


@dataclass(frozen=True, kw_only=True)
class LogEntry:
    """One commit.

    Parameters
    ----------
    snapshot : str
        Icechunk's id.
    when : datetime
        In UTC.
    kind : str
        ``"create"``, ``"add"`` or ``"remove"`` (of a field), or the kind of the round.
    message : str
    round : int, optional
        None for a commit that is no round.
    author : str, optional
    model : ModelRef, optional
    config : mapping
    counts : mapping of str to EditCounts
        Per labels, by ``FIELD:CLASS``.
    labels : tuple of str
        What the commit touched, each as ``FIELD:CLASS``.
    minutes : float, optional
    """

    snapshot: str
    when: datetime
    kind: EntryKind
    message: str
    round: int | None = None
    author: str | None = None
    model: ModelRef | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, EditCounts] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    minutes: float | None = None

    @property
    def total(self) -> EditCounts:
        """The counts of all labels together."""
        return sum(self.counts.values(), EditCounts())


def round_metadata(
    info: RoundInfo, number: int, counts: Mapping[str, EditCounts], labels: tuple[str, ...]
) -> dict[str, Any]:
    """Return the commit metadata of a round; `read_entry` is its inverse."""
    said = asdict(info)
    del said["message"]
    counted = {key: asdict(count) for key, count in counts.items()}
    about = {"round": number, "counts": counted, "labels": list(labels)}
    return {"hitl_format": METADATA_FORMAT, **said, **about}


def field_metadata(
    kind: Literal["add", "remove"], labels: Sequence[str], author: str | None
) -> dict[str, Any]:
    """Return the commit metadata of a field that came or went."""
    return {
        "hitl_format": METADATA_FORMAT,
        "kind": kind,
        "labels": list(labels),
        "author": author,
    }


def create_metadata() -> dict[str, Any]:
    """Return the commit metadata of a new store."""
    return {"hitl_format": METADATA_FORMAT, "kind": "create"}


def read_entry(
    snapshot: str, when: datetime, message: str, metadata: Mapping[str, Any]
) -> LogEntry | None:
    """Return what a commit says of itself, or None when this toolkit did not make it."""
    if "hitl_format" not in metadata:
        return None
    model = metadata.get("model")
    return LogEntry(
        snapshot=snapshot,
        when=when,
        kind=metadata["kind"],
        message=message,
        round=metadata.get("round"),
        author=metadata.get("author"),
        model=ModelRef(**model) if model else None,
        config=metadata.get("config", {}),
        counts={name: EditCounts(**found) for name, found in metadata.get("counts", {}).items()},
        labels=tuple(metadata.get("labels", ())),
        minutes=metadata.get("minutes"),
    )


def unknown_round(number: int, known: int) -> UnknownRoundError:
    """Return the error for a round that is not there."""
    held = f"0 to {known - 1}" if known else "none yet"
    return UnknownRoundError(f"round {number}: expected one of the store's rounds ({held})")
