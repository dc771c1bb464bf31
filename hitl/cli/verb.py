"""A verb's arguments and options, derived from its function and its request; declared once."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from hitl.cli.app import app
from hitl.cli.complete import completer
from hitl.cli.console import console
from hitl.project.docstrings import parameter_descriptions
from hitl.project.errors import UsageError
from hitl.project.options import Flag, check_number
from labels.names import did_you_mean

Result = tuple[Any, Any]
"""What a verb returns: its data, for `--json`, and what is printed for people."""

GIVEN = ("project", "out")
"""Parameters of a verb's function that are no options: the opened project and the console."""


def verb(
    panel: str, name: str | None = None, to: typer.Typer = app
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a verb of a function that does the work and returns its `Result`.

    Parameters
    ----------
    panel : str
        Heading in the help under which the verb stands.
    name : str, optional
        Name of the verb; the function's when not given.
    to : typer.Typer
        What it joins.

    Notes
    -----
    Of the function's parameters, ``project`` is a `Project` that is opened from the argument
    PROJECT, ``out`` the console; one whose type is a dataclass becomes an argument or option for
    each field (see `hitl.project.options`), any other one becomes an argument or option itself.
    The help is what the docstring says. A verb that returns None prints nothing itself and has no
    ``--json``.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        wanted = inspect.signature(function).parameters
        hints = _hints(function)
        text = inspect.getdoc(function) or ""
        meanings = parameter_descriptions(text)
        options = [
            option
            for key, hint in hints.items()
            for option in _of(key, hint, wanted[key].default, meanings.get(key, ""))
        ]
        if "project" in wanted:
            options.insert(0, _PROJECT)
        silent = function.__annotations__.get("return") in ("None", None)
        if not silent:
            options.append(_JSON)

        def run(**given: Any) -> None:
            as_json = given.pop("as_json", False)
            try:
                call = _call(hints, given)
                with console(as_json) as out:
                    if "project" in wanted:
                        from hitl.project.folder import Project

                        call["project"] = Project.open(given["project"])
                    if "out" in wanted:
                        call["out"] = out
                    done = function(**call)
                    if done is not None:
                        out.result(*done)
            except UsageError as exc:
                raise typer.BadParameter(str(exc)) from exc

        run.__doc__ = text.partition("\n\nParameters\n")[0]
        run.__name__ = function.__name__
        options.sort(key=lambda option: option.default is not inspect.Parameter.empty)
        run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
        run.__annotations__ = {option.name: option.annotation for option in options}
        flags = dict(named for key, hint in hints.items() for named in _flags(key, hint))
        to.command(name=name, rich_help_panel=panel, cls=_command(flags))(run)
        return function

    return register


def _flags(key: str, hint: Any) -> Iterator[tuple[str, Flag]]:
    """Give each option's name, and all that its flags say."""
    bare, flag = _split(hint)
    if dataclasses.is_dataclass(bare):
        for name, inner in _hints(bare).items():
            yield from _flags(name, inner)
    else:
        yield _flag_name(key, flag), flag


def _flag_name(key: str, flag: Flag) -> str:
    return flag.name or f"--{key.replace('_', '-')}"


def _command(flags: Mapping[str, Flag]) -> type[TyperCommand]:
    """Return a kind of command that takes former spellings, and several words after one flag."""
    many = {name for name, flag in flags.items() if flag.many}
    former = {old: name for name, flag in flags.items() for old in flag.also}

    class Command(TyperCommand):
        def get_help_option(self, ctx: Any) -> Any:
            option = super().get_help_option(ctx)
            option.metavar = ""  # type: ignore[union-attr]
            return option

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            given = list(_spelled_out(args, many, former))
            if ctx.resilient_parsing and given and given[-1].startswith("-"):
                # A shell asks for its value: without one, nothing before it would be understood.
                given.pop()
            return super().parse_args(ctx, given)

    return Command


def _spelled_out(args: list[str], many: Set[str], former: Mapping[str, str]) -> Iterator[str]:
    """Give the words with today's names, and a flag of `many` before each KEY=VALUE after it."""
    open_flag, last = None, ""
    for number, word in enumerate(args):
        if word == "--":
            yield from args[number:]
            return
        name, sign, value = word.partition("=")
        name = former.get(name, name)
        if name in many:
            open_flag = name
        elif open_flag is not None and last != open_flag:
            if word.startswith("-") or not sign:
                open_flag = None
            else:
                yield open_flag
        last = f"{name}{sign}{value}"
        yield last


def _hints(owner: Any) -> dict[str, Any]:
    """Types of a function's options or of a dataclass's fields, with what is annotated."""
    if dataclasses.is_dataclass(owner):
        return typing.get_type_hints(owner, include_extras=True)
    kept = {k: v for k, v in owner.__annotations__.items() if k not in (*GIVEN, "return")}
    bare = types.SimpleNamespace(__annotations__=kept)
    return typing.get_type_hints(bare, owner.__globals__, include_extras=True)


def _split(hint: Any) -> tuple[Any, Flag]:
    """Return the bare type, and all that the flags of a type say."""
    if typing.get_origin(hint) is not Annotated:
        return hint, Flag()
    bare, *extras = typing.get_args(hint)
    flags = [extra for extra in extras if isinstance(extra, Flag)]
    said = {
        item.name: value
        for flag in flags
        for item in dataclasses.fields(flag)
        if (value := getattr(flag, item.name)) != item.default
    }
    return bare, Flag(**said)


def _of(
    key: str, hint: Any, default: Any, meaning: str, panel: str | None = None
) -> Iterator[inspect.Parameter]:
    """Give the option of a parameter or field, or those of each field of a dataclass."""
    bare, flag = _split(hint)
    if dataclasses.is_dataclass(bare):
        yield from _fields(bare, flag)
    else:
        yield _option(key, hint, default, meaning, panel)


def _fields(request: Any, within: Flag) -> Iterator[inspect.Parameter]:
    meanings = parameter_descriptions(request.__doc__ or "")
    hints = _hints(request)
    for item in dataclasses.fields(request):
        if within.only and item.name not in within.only:
            continue
        default = item.default
        if item.default_factory is not dataclasses.MISSING:
            default = item.default_factory()
        if default is dataclasses.MISSING:
            default = inspect.Parameter.empty
        yield from _of(
            item.name, hints[item.name], default, meanings.get(item.name, ""), within.panel
        )


def _option(
    key: str, hint: Any, default: Any, meaning: str, panel: str | None = None
) -> inspect.Parameter:
    bare, flag = _split(hint)
    shared: dict[str, Any] = {
        "help": flag.help or meaning.replace("``", "`"),
        # A flag takes no value.
        "metavar": "" if bare is bool else flag.metavar,
        "rich_help_panel": flag.panel or panel,
        # What else bounds a number would only fill the help; `check_number` holds all of it.
        "min": flag.min if not _are_several(bare) and _is_shown(flag.min) else None,
        "max": flag.max if not _are_several(bare) and _is_shown(flag.max) else None,
    }
    if flag.choices is not None:
        shared |= _chosen_from(flag.choices)
    elif flag.complete is not None:
        shared["autocompletion"] = completer(flag.complete)
    if default is inspect.Parameter.empty or flag.argument:
        shared["metavar"] = flag.metavar or key.upper()
        info: Any = typer.Argument(**shared)
    else:
        info = typer.Option(_flag_name(key, flag), **shared)
    if flag.parse is not None:
        bare, default = _parsed_type(flag.parse) | None, None
    elif _is_many(bare):
        one: Any = typing.get_args(bare)[0]
        if typing.get_origin(one) is Literal:
            # Typer takes no list of literals.
            make: Any = enum.Enum
            one = make(key, {name: name for name in typing.get_args(one)})
        bare, default = list[one] | None, default or None
    return inspect.Parameter(
        key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[bare, info]
    )


def _chosen_from(choices: Callable[[], Mapping[str, str]]) -> dict[str, Any]:
    """Take one of the names that a table has when the verb runs."""

    def parser(name: str) -> str:
        if name not in choices():
            known = choices()
            raise typer.BadParameter(
                f"expected one of {', '.join(known)}, got {name!r}{did_you_mean(name, known)}"
            )
        return name

    return {
        "metavar": "NAME",
        "help": "; ".join(f"{name}: {meaning}" for name, meaning in choices().items()),
        "parser": parser,
        "autocompletion": lambda: list(choices()),
    }


def _is_shown(bound: float | None) -> bool:
    return bound is not None and float(bound).is_integer() and bound <= 1000


def _are_several(bare: Any) -> bool:
    """Tell whether an option takes several values at once."""
    return any(typing.get_origin(one) is tuple for one in (bare, *typing.get_args(bare)))


def _is_many(bare: Any) -> bool:
    return typing.get_origin(bare) is tuple and Ellipsis in typing.get_args(bare)


def _parsed_type(parse: Callable[[Any], Any]) -> Any:
    """Return what a parser takes: one text, or all of an option that may be repeated."""
    first = next(iter(inspect.signature(parse).parameters))
    return typing.get_type_hints(parse).get(first, str)


def _call(hints: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the function or a request gets for what was typed."""
    call: dict[str, Any] = {}
    for key, hint in hints.items():
        bare, flag = _split(hint)
        if dataclasses.is_dataclass(bare):
            fields = _hints(bare)
            call[key] = bare(**_call({k: fields[k] for k in flag.only or fields}, given))  # type: ignore[operator]
        elif flag.parse is not None:
            if given[key]:
                call[key] = flag.parse(given[key])
        elif _is_many(bare):
            call[key] = tuple(getattr(one, "value", one) for one in given[key] or ())
        else:
            call[key] = given[key]
            name = flag.metavar or key.upper() if flag.argument else _flag_name(key, flag)
            check_number(name, given[key], flag)
    return call


_PROJECT = inspect.Parameter(
    "project",
    inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[Path, typer.Argument(metavar="PROJECT", help="Project folder.")],
)
_JSON = inspect.Parameter(
    "as_json",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON object.")],
)
