"""What can be run on this machine, what is missing for the rest, and every model's options."""

from __future__ import annotations

import dataclasses
import importlib.util
import types
import typing
from dataclasses import dataclass
from typing import Any

from hitl.project.docstrings import parameter_descriptions
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


@dataclass(frozen=True)
class Options:
    """The options of one model: key, type, default and meaning of each, as people write them."""

    name: str
    rows: tuple[tuple[str, str, str, str], ...]


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
    """List the options of a segmenter or trainer, as `--set` and the config take them.

    Raises
    ------
    UnknownModelError
        When there is no such model.
    """
    spec = spec_of(name)
    cls = imported(spec.trainer or spec.segmenter or "")
    hints = typing.get_type_hints(cls)
    meanings = parameter_descriptions(cls.__doc__ or "")
    return Options(
        name,
        tuple(
            (item.name, type_name(hints[item.name]), _default(item), meanings.get(item.name, ""))
            for item in dataclasses.fields(cls)
        ),
    )


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
