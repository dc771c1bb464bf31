"""A project's `hitl.yaml` as it is written: each key with what it means and what it may be."""

from __future__ import annotations

import textwrap
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from hitl.project.config import ProjectConfig
from hitl.project.docstrings import parameter_descriptions, summary
from hitl.project.models import type_name
from hitl.project.yaml_text import dump_yaml

WIDTH = 90

NO_BOUND = 2**31 - 1
"""A limit so high is none to a person."""

HEAD = (
    "# Settings of this project; what is left out has its default. A key below that stands behind",
    "# a # is an example: take the # in front of its lines away to use it.",
)


def commented(config: ProjectConfig) -> str:
    """Return a config as YAML text that `load_config` reads back, for people to go on in.

    What is empty is shown as an example that stands behind ``#``.
    """
    return "\n".join([*HEAD, *_section(config, gap=[""])]) + "\n"


def _section(section: BaseModel, gap: Iterable[str] = ()) -> list[str]:
    """Return the lines of a section's keys, a comment before each."""
    lines: list[str] = []
    for key, field in type(section).model_fields.items():
        lines += [*gap, *_comment(type(section), key, field)]
        value = getattr(section, key)
        if value in ({}, (), None) and value == field.get_default(call_default_factory=True):
            if field.examples:
                value = TypeAdapter(field.annotation).validate_python(field.examples[0])
            lines += [f"#{line}" for line in _entry(key, value)]
        else:
            lines += _entry(key, value)
    return lines


def _entry(key: str, value: Any) -> list[str]:
    """Return a key and its value; the keys of a model within it have comments of their own."""
    if isinstance(value, BaseModel):
        return [_opened(key), *_indented(_section(value))]
    if isinstance(value, Mapping) and _has_models(value.values()):
        inner = [line for name, each in value.items() for line in _entry(name, each)]
        return [_opened(key), *_indented(inner)]
    if isinstance(value, tuple) and _has_models(value):
        return [_opened(key), *(line for each in value for line in _indented(_item(each)))]
    return dump_yaml({key: list(value) if isinstance(value, tuple) else value}).splitlines()


def _has_models(values: Iterable[Any]) -> bool:
    return any(isinstance(value, BaseModel) for value in values)


def _item(section: BaseModel) -> list[str]:
    """Return a section as an item of a list."""
    lines = _section(section)
    first = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    rest = (f"  {line}" for line in lines[first + 1 :])
    return [*lines[:first], f"- {lines[first]}", *rest]


def _opened(key: str) -> str:
    """Return a key, quoted where YAML would take it for something else."""
    return dump_yaml({key: None}).rpartition(" ")[0]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _comment(owner: type[BaseModel], key: str, field: FieldInfo) -> list[str]:
    """Say what a key means, and what it may be."""
    kind: Any = field.annotation
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        meaning = summary(kind.__doc__ or "")
    elif typing.get_origin(kind) is typing.Literal and len(typing.get_args(kind)) == 1:
        # What tells the kinds of an entry apart is explained by the kind.
        return _wrapped(summary(owner.__doc__ or ""))
    else:
        meaning = parameter_descriptions(owner.__doc__ or "")[key].replace("``", "")
    allowed = _allowed(field)
    return _wrapped(f"{meaning.removesuffix('.')} ({allowed})." if allowed else meaning)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")


def _allowed(field: FieldInfo) -> str:
    """Return type, bounds and default of a single value."""
    kind: Any = field.annotation
    if kind not in (int, float, bool, str) and typing.get_origin(kind) is not typing.Literal:
        return ""
    said = f"{type_name(kind)}{_bounds(field.metadata)}"
    if field.is_required():
        return said
    default = str(field.default).lower() if kind is bool else field.default
    return f"{said}; default {'empty' if default == '' else default}"


def _bounds(metadata: Iterable[Any]) -> str:
    """Say between which values a number must be."""
    words = []
    for bound in metadata:
        if isinstance(bound, Ge):
            words.append(f"from {bound.ge:g}")
        elif isinstance(bound, Gt):
            words.append(f"above {bound.gt:g}")
        elif isinstance(bound, Le) and float(str(bound.le)) < NO_BOUND:
            words.append(f"to {bound.le:g}")
        elif isinstance(bound, Lt):
            words.append(f"and below {bound.lt:g}" if words else f"below {bound.lt:g}")
    return "".join(f" {word}" for word in words)
