"""What can be run on this machine, what is missing for the rest, and every model's options."""

from __future__ import annotations

import dataclasses
import importlib.util
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hitl.project.docstrings import parameters_of
from models.registry import MODELS, imported, spec_of

EXTRAS = {"gui": "napari", "nd2": "nd2", "dask": "distributed", "wandb": "wandb"}


@dataclass(frozen=True)
class CatalogueRow:
    """One model or extra.

    Parameters
    ----------
    name, about, use : str
    channels : {"one", "several", ""}
        How many it takes.
    ready : bool
    missing : str
        What is missing and how to get it; empty when ready.
    """

    name: str
    about: str
    use: str
    channels: str
    ready: bool
    missing: str


Row = tuple[str, str, str, str]


@dataclass(frozen=True)
class Options:
    """The options of one model: key, type, default and meaning of each, as people write them."""

    name: str
    rows: tuple[Row, ...]


def list_models() -> tuple[CatalogueRow, ...]:
    """List segmenters, trainable models and extras."""
    rows = []
    for name, spec in MODELS.items():
        uses = (("bootstrap, segment", spec.segmenter), ("train and predict", spec.trainer))
        use = ", ".join(use for use, part in uses if part is not None)
        missing = spec.missing()
        rows.append(CatalogueRow(name, spec.about, use, spec.channels, not missing, missing))
    for extra, module in EXTRAS.items():
        here = importlib.util.find_spec(module) is not None
        hint = "" if here else f"pip install 'hitl-nuclei[{extra}]'"
        rows.append(CatalogueRow(extra, "", "extra", "", here, hint))
    return tuple(rows)


def list_options(name: str) -> Options:
    """List the options of a segmenter, a trainer or both, as `--set` and the config take them.

    Raises
    ------
    UnknownModelError
        When there is no such model.
    """
    spec = spec_of(name)
    uses = {"of bootstrap and segment": spec.segmenter, "of train": spec.trainer}
    found: dict[Row, list[str]] = {}
    for use, part in uses.items():
        for row in _rows(imported(part)) if part is not None else ():
            found.setdefault(row, []).append(use)
    several = None not in uses.values()
    return Options(name, tuple(_row_of(row, of if several else ()) for row, of in found.items()))


def _rows(cls: Any) -> Iterator[Row]:
    """Give the options of a dataclass."""
    hints = typing.get_type_hints(cls)
    meanings = parameters_of(cls)
    for item in dataclasses.fields(cls):
        yield item.name, type_name(hints[item.name]), _default(item), meanings.get(item.name, "")


def _row_of(row: Row, uses: Sequence[str]) -> Row:
    """Return an option of a model of two parts, with which of them takes it where one does."""
    key, kind, default, meaning = row
    return (key, kind, default, f"({uses[0]}) {meaning}") if len(uses) == 1 else row


def type_name(hint: Any) -> str:
    """Return a type as people write it: ``number or none``, ``3 whole numbers``, ``a | b``."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return type_name(arguments[0])
    if origin is typing.Literal:
        return " | ".join(map(str, arguments))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_name(a) if a is not type(None) else "none" for a in arguments)
    if origin is tuple:
        count = "list" if arguments[-1] is Ellipsis else str(len(arguments))
        return f"{count} of {type_name(arguments[0])}"
    return {int: "whole number", float: "number", bool: "true | false", str: "text"}.get(
        hint, str(hint)
    )


def _default(item: dataclasses.Field[Any]) -> str:
    if item.default_factory is not dataclasses.MISSING:
        return str(item.default_factory())
    return "required" if item.default is dataclasses.MISSING else str(item.default)
