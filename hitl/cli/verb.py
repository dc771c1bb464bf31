"""A verb's arguments and options, derived from its function and its request; declared once."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from annotated_types import Ge, Le

from hitl.cli.app import app
from hitl.cli.console import console
from hitl.project.docstrings import parameter_descriptions
from hitl.project.errors import UsageError
from hitl.project.options import Flag

Result = tuple[Any, Any]
"""What a verb returns: its data, for `--json`, and what is printed for people."""

GIVEN = ("project", "out")
"""Parameters of a verb's function that are no options: the opened project and the console."""


def verb(panel: str, name: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a verb of a function that does the work and returns its `Result`.

    Parameters
    ----------
    panel : str
        Heading in the help under which the verb stands.
    name : str, optional
        Name of the verb; the function's when not given.

    Notes
    -----
    Of the function's parameters, ``project`` is a `Project` that is opened from the argument
    PROJECT, ``out`` the console; one whose type is a dataclass becomes an argument or option for
    each field (see `hitl.project.options`), any other one becomes an option itself. A verb that
    returns None prints nothing itself and has no ``--json``.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        wanted = inspect.signature(function).parameters
        hints = _hints(function)
        options = [option for key, hint in hints.items() for option in _of(key, hint, wanted[key])]
        if "project" in wanted:
            options.insert(0, _PROJECT)
        silent = function.__annotations__.get("return") in ("None", None)
        if not silent:
            options.append(_JSON)

        def run(**given: Any) -> None:
            as_json = given.pop("as_json", False)
            try:
                call = {key: _built(hint, key, given) for key, hint in hints.items()}
            except UsageError as exc:
                raise typer.BadParameter(str(exc)) from exc
            with console(as_json) as out:
                if "project" in wanted:
                    from hitl.project.folder import Project

                    call["project"] = Project.open(given["project"])
                if "out" in wanted:
                    call["out"] = out
                done = function(**call)
                if done is not None:
                    out.result(*done)

        run.__doc__ = function.__doc__
        run.__name__ = function.__name__
        options.sort(key=lambda option: option.default is not inspect.Parameter.empty)
        run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
        run.__annotations__ = {option.name: option.annotation for option in options}
        app.command(name=name, rich_help_panel=panel)(run)
        return function

    return register


def _hints(owner: Any) -> dict[str, Any]:
    """Types of a function's options or of a dataclass's fields, with what is annotated."""
    if dataclasses.is_dataclass(owner):
        return typing.get_type_hints(owner, include_extras=True)
    kept = {k: v for k, v in owner.__annotations__.items() if k not in (*GIVEN, "return")}
    bare = types.SimpleNamespace(__annotations__=kept)
    return typing.get_type_hints(bare, owner.__globals__, include_extras=True)


def _split(hint: Any) -> tuple[Any, Flag, list[Any]]:
    """Return the bare type, the flag and the other annotations of a type."""
    if typing.get_origin(hint) is not Annotated:
        return hint, Flag(), []
    bare, *extras = typing.get_args(hint)
    flags = [extra for extra in extras if isinstance(extra, Flag)]
    return bare, flags[-1] if flags else Flag(), [e for e in extras if not isinstance(e, Flag)]


def _of(key: str, hint: Any, parameter: inspect.Parameter) -> Iterator[inspect.Parameter]:
    bare, flag, _ = _split(hint)
    if dataclasses.is_dataclass(bare):
        yield from _fields(bare, flag)
    elif _typed(hint):
        yield parameter.replace(annotation=hint, kind=inspect.Parameter.KEYWORD_ONLY)
    else:
        yield _option(key, hint, parameter.default, "")


def _typed(hint: Any) -> bool:
    """Whether a type says itself what typer makes of it."""
    return any(
        isinstance(extra, typer.models.ParameterInfo)
        for extra in typing.get_args(hint)[1:]
        if typing.get_origin(hint) is Annotated
    )


def _fields(request: Any, within: Flag) -> Iterator[inspect.Parameter]:
    """Give an option for each field of a request, and for those of a dataclass in it."""
    meanings = parameter_descriptions(request.__doc__ or "")
    hints = _hints(request)
    for item in dataclasses.fields(request):
        bare, flag, _ = _split(hints[item.name])
        if within.only and item.name not in within.only:
            continue
        if dataclasses.is_dataclass(bare):
            yield from _fields(bare, flag)
            continue
        default = item.default
        if item.default_factory is not dataclasses.MISSING:
            default = item.default_factory()
        empty = default is dataclasses.MISSING
        yield _option(
            item.name,
            hints[item.name],
            inspect.Parameter.empty if empty else default,
            meanings.get(item.name, ""),
            within.panel,
        )


def _option(
    key: str, hint: Any, default: Any, meaning: str, panel: str | None = None
) -> inspect.Parameter:
    bare, flag, extras = _split(hint)
    shared: dict[str, Any] = {
        "help": flag.help or meaning.replace("``", "`"),
        "metavar": flag.metavar,
        "rich_help_panel": flag.panel or panel,
        "min": next((e.ge for e in extras if isinstance(e, Ge)), None),
        "max": next((e.le for e in extras if isinstance(e, Le)), None),
    }
    if default is inspect.Parameter.empty or flag.argument:
        shared["metavar"] = flag.metavar or key.upper()
        info: Any = typer.Argument(**shared)
    else:
        info = typer.Option(flag.name or f"--{key.replace('_', '-')}", **shared)
    if _is_many(bare):
        bare, default = list[typing.get_args(bare)[0]] | None, default or None  # type: ignore[misc]
    elif _is_settings(bare):
        bare, default = list[str] | None, None
    return inspect.Parameter(
        key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[bare, info]
    )


def _is_many(bare: Any) -> bool:
    return typing.get_origin(bare) is tuple and Ellipsis in typing.get_args(bare)


def _is_settings(bare: Any) -> bool:
    return typing.get_origin(bare) is Mapping or typing.get_origin(bare) is dict


def _built(hint: Any, key: str, given: dict[str, Any]) -> Any:
    """Return what the function or the request gets for what was typed."""
    bare, flag, _ = _split(hint)
    if dataclasses.is_dataclass(bare):
        hints = _hints(bare)
        names = flag.only or tuple(hints)
        return bare(**{name: _built(hints[name], name, given) for name in names})  # type: ignore[operator]
    value = given[key]
    if _is_many(bare):
        return tuple(value or ())
    if _is_settings(bare):
        from hitl.project.config import parse_settings

        return parse_settings(value or [])
    return value


_PROJECT = inspect.Parameter(
    "project",
    inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[Path, typer.Argument(metavar="PROJECT", help="Project folder.")],
)
_JSON = inspect.Parameter(
    "as_json",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[bool, typer.Option("--json", help="Print one JSON object.")],
)
