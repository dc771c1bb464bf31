"""Every number that a person can set has bounds, and what is beyond them is one line."""

from __future__ import annotations

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel

from hitl.cli.app import app
from hitl.cli.verb import _flag_name, _hints, _split
from hitl.cli.verbs import files, models, project, rounds
from hitl.project.config import ProjectConfig
from hitl.project.errors import ConfigError
from hitl.project.options import Flag
from hitl.project.schema import Frozen, options_model, validate
from hitl.queue.entries import QueueOptions
from models.registry import MODELS, part_of
from models.synthetic import NucleiOptions
from tests.hostile.limits import refusal

assert ProjectConfig  # imported with all of its sections


def numbers_in(hint: Any, around: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give what is annotated to each number in a type."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        inner, *said = typing.get_args(hint)
        yield from numbers_in(inner, (*around, *said))
    elif hint in (int, float):
        yield around
    elif origin is not Literal:
        parts = [part for part in typing.get_args(hint) if part is not Ellipsis]
        outer = around if origin in (typing.Union, types.UnionType) else ()
        for part in parts:
            yield from numbers_in(part, outer)


def is_bounded(said: tuple[Any, ...]) -> bool:
    """Tell whether there is a finite bound on both sides."""
    sides = (("gt", "ge"), ("lt", "le"))
    found = [[getattr(each, name, None) for each in said for name in side] for side in sides]
    return all(any(b is not None and math.isfinite(b) for b in bounds) for bounds in found)


def frozen(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for each in kind.__subclasses__():
        if each.__module__.startswith("hitl."):
            yield each
        yield from frozen(each)


def options_of_models() -> dict[str, type[Any]]:
    """Every dataclass whose fields are options of a config or of `--set`."""
    found: dict[str, type[Any]] = {"synth": NucleiOptions, "queue": QueueOptions}
    for name, spec in MODELS.items():
        for part in ("segmenter", "trainer"):
            if getattr(spec, part) is not None:
                found[f"{name} {part}"] = part_of(name, part)
    return found


OPTIONS = options_of_models()
SECTIONS = {section.__name__: section for section in frozen(Frozen) if section.model_fields}


@pytest.mark.parametrize("kind", [*OPTIONS.values(), *SECTIONS.values()], ids=[*OPTIONS, *SECTIONS])
def test_every_number_has_bounds(kind: type[Any]) -> None:
    hints = typing.get_type_hints(kind, include_extras=True)
    names = (
        list(kind.model_fields)
        if issubclass(kind, BaseModel)
        else [item.name for item in dataclasses.fields(kind)]
    )
    free = [n for n in names if not all(map(is_bounded, numbers_in(hints[n])))]
    assert free == []


NO_NUMBERS = (math.nan, math.inf, -math.inf, 1e300, -1e300, 10**30, -(10**30), 2**5000, "1e9x")


def numeric(kind: type[Any]) -> list[tuple[str, int]]:
    """Names of the options that are numbers, and how many each is."""
    hints = typing.get_type_hints(kind, include_extras=True)
    names = [item.name for item in dataclasses.fields(kind)]
    counts = [(name, len(list(numbers_in(hints[name])))) for name in names]
    return [(name, count) for name, count in counts if count]


@pytest.mark.parametrize("kind", OPTIONS.values(), ids=OPTIONS)
def test_no_number_out_of_bounds_is_taken(kind: type[Any]) -> None:
    model = options_model(kind)
    for name, count in numeric(kind):
        for value in NO_NUMBERS:
            given = value if count == 1 else [value] * count
            with pytest.raises(ConfigError, match=f"^here: {name}") as refused:
                validate(model, {name: given}, "here")
            assert "\n" not in str(refused.value)


def verbs() -> Iterator[tuple[str, Any]]:
    """Every function behind a verb, by the verb's name."""
    named = {}
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        named[command.callback.__name__] = name.replace("_", "-")
    for module in (files, models, project, rounds):
        for name, function in vars(module).items():
            own = inspect.isfunction(function) and function.__module__ == module.__name__
            if own and name in named:
                yield named[name], function


def flags_in(owner: Any, only: tuple[str, ...] = ()) -> Iterator[tuple[str, Any, Flag]]:
    for key, hint in _hints(owner).items():
        bare, flag = _split(hint)
        if only and key not in only:
            continue
        if dataclasses.is_dataclass(bare):
            yield from flags_in(bare, flag.only)
        else:
            yield key, bare, flag


NUMBERS = [
    (verb, flag.metavar or key.upper() if flag.argument else _flag_name(key, flag), flag, count)
    for verb, function in verbs()
    for key, bare, flag in flags_in(function)
    if flag.parse is None and (count := len(list(numbers_in(bare))))
]
"""Verb, option, its flag, and of how many numbers it is."""


def test_every_number_on_the_command_line_has_bounds() -> None:
    assert len(NUMBERS) > 40
    free = [(verb, name) for verb, name, flag, _ in NUMBERS if None in (flag.min, flag.max)]
    assert free == []


WORDS: dict[str, list[str]] = {
    "add": ["PROJECT", "image.tif"],
    "agreement": ["a.tif", "b.tif"],
    "blame": ["PROJECT", "s", "OBJECT"],
    "correct": ["PROJECT", "s"],
    "demo": ["new"],
    "diff": ["PROJECT", "A", "B"],
    "evaluate": ["PROJECT"],
    "export": ["PROJECT", "s", "new"],
    "gc": ["PROJECT"],
    "import": ["PROJECT", "s", "labels.tif"],
    "log": ["PROJECT"],
    "measure": ["PROJECT"],
    "queue": ["PROJECT"],
    "report": ["PROJECT"],
    "rollback": ["PROJECT", "ROUND"],
    "score": ["a.tif", "b.tif"],
    "segment": ["image.tif", "labels.tif"],
    "simulate": ["PROJECT"],
    "sweep": ["PROJECT", "unet3d"],
    "synth": ["new"],
}
"""What each verb with a number is given by place; capitals stand for the project and numbers."""


def typed(verb: str, name: str, value: str, count: int, project: Path) -> list[str]:
    """Return a command with one number that is none."""
    options: list[str] = []
    if name.startswith("--"):
        options = [f"{name}={value}"] if count == 1 else [name, *[value] * count]
    places = {"A": "0", "B": "0", "OBJECT": "1", "ROUND": "0", "PROJECT": str(project), name: value}
    return [verb, *options, "--", *(places.get(word, word) for word in WORDS[verb])]


def out_of_bounds(flag: Flag) -> Iterator[str]:
    assert flag.min is not None and flag.max is not None
    yield from ("nan", "inf", "1e300", "9" * 30, "9" * 5000, "1,5", "")
    yield str(2 * flag.max + 1)
    yield str(flag.min - 1)


@pytest.mark.parametrize(
    ("verb", "name", "flag", "count"), NUMBERS, ids=[f"{verb} {name}" for verb, name, *_ in NUMBERS]
)
def test_a_number_on_the_command_line_that_is_none(
    verb: str,
    name: str,
    flag: Flag,
    count: int,
    whole_project: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for value in out_of_bounds(flag):
        line = refusal(capsys, whole_project, typed(verb, name, value, count, whole_project))
        assert name in line and len(line) < 2100


SETTINGS = {
    "unknown, with a hint": ("unet3d", ["learning_rat=1"], "did you mean 'learning_rate'"),
    "infinite": ("unet3d", ["learning_rate=.inf"], "--set: learning_rate"),
    "not a number": ("unet3d", ["learning_rate=.nan"], "--set: learning_rate"),
    "negative": ("unet3d", ["learning_rate=-1"], "--set: learning_rate"),
    "a batch of a billion": ("unet3d", ["batch_size=1000000000"], "--set: batch_size"),
    "100,000 threads": ("unet3d", ["threads=100000"], "--set: threads"),
    "a negative seed": ("stardist3d", ["seed=-1"], "--set: seed"),
    "a huge seed": ("stardist3d", ["seed=99999999999999999999"], "--set: seed"),
    "a patch of nothing": ("stardist3d", ["patch_size=[0,0,0]"], "--set: patch_size"),
    "a patch of two sides": ("unet3d", ["patch_size=[8,8]"], "--set: patch_size"),
    "no epochs": ("unet3d", ["epochs=0"], "--set: epochs"),
    "a billion epochs": ("stardist3d", ["epochs=1e12"], "--set: epochs"),
    "minutes that are none": ("unet3d", ["max_minutes=.nan"], "--set: max_minutes"),
    "minutes before now": ("stardist3d", ["max_minutes=-5"], "--set: max_minutes"),
    "no features": ("unet3d", ["features=[]"], "--set: features"),
    "wide features": ("unet3d", ["features=[100000]"], "--set: features"),
    "many features": ("unet3d", [f"features=[{','.join(['2'] * 50)}]"], "--set: features"),
    "a grid that StarDist has not": ("stardist3d", ["grid=[3,3,3]"], "--set: grid"),
    "flat anisotropy": ("stardist3d", ["anisotropy=[0,1,1]"], "--set: anisotropy"),
    "percentiles in the wrong order": ("unet3d", ["percentiles=[99,1]"], "percentiles"),
    "a diameter of an atom": ("stardist3d", ["diameter_um=1e-6"], "--set: diameter_um"),
    "a diameter of a kilometre": ("cellpose", ["diameter_um=1e9"], "--set: diameter_um"),
    "twice": ("unet3d", ["epochs=1", "epochs=2"], "given twice"),
    "no key": ("unet3d", ["=1"], "expected key=value"),
    "a path without a value": ("unet3d", ["a.b.c="], "--set: unknown key"),
    "two signs": ("unet3d", ["x==y"], "--set: unknown key"),
    "a word": ("unet3d", ["epochs"], "expected key=value"),
    "yes for a number": ("unet3d", ["epochs=true"], "--set: epochs"),
    "text for a number": ("unet3d", ["epochs=many"], "--set: epochs"),
    "a number in hexadecimal without end": ("unet3d", [f"epochs=0x{'f' * 5000}"], "digits"),
    "lists without end": ("unet3d", [f"epochs={'[' * 5000}"], "lists in lists"),
    "a mapping": ("unet3d", ["epochs={a: 1}"], "--set: epochs"),
    "code": ("unet3d", ["epochs=!!python/name:os.system"], "cannot be read"),
    "an escape": ("unet3d", ["\x1b[31m=1"], "--set: unknown key"),
    "NUL": ("unet3d", ["epochs=\0"], "cannot be read"),
    "half a letter": ("unet3d", ["\udcff=1"], "--set"),
}


@pytest.mark.parametrize(("model", "pairs", "said"), SETTINGS.values(), ids=SETTINGS)
def test_an_option_of_a_model_that_is_none(
    model: str,
    pairs: list[str],
    said: str,
    whole_project: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [word for pair in pairs for word in ("--set", pair)]
    for verb, rest in (("train", []), ("sweep", ["--grid=epochs=1,2"])):
        line = refusal(capsys, whole_project, [verb, whole_project, model, *words, *rest])
        assert said in line
