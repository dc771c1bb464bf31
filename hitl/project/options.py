"""How the fields of a request are written as options, where name and type do not say it.

A verb's request is a frozen dataclass: the command line derives an option from each field, its
name, type, bounds and default, and the help from the docstring. Modules of requests import
nothing heavy, since the command line reads them before it knows which verb is meant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from hitl.project import completion
from hitl.project.errors import ConfigError, UsageError
from labels.spacing import LEAST_UM, MOST_UM


@dataclass(frozen=True)
class Flag:
    """The spelling of a field on the command line.

    Parameters
    ----------
    name : str, optional
        Such as ``"--set"``; the field's name with dashes when not given.
    also : tuple of str
        Former spellings, which the help does not show.
    metavar : str, optional
        What stands for the value in the help.
    help : str, optional
        The help; what the docstring says of the field when not given.
    argument : bool
        Given by place, not by name. A field without a default always is.
    panel : str, optional
        Heading in the help, for this field or for all fields of a nested dataclass.
    only : tuple of str
        The fields of a nested dataclass that the verb takes; all of them when empty.
    min, max : number, optional
        The least and the greatest value, themselves allowed, of each number where there are
        several. Every number has both.
    choices : callable, optional
        Returns the values that there are, each with what it means, where a table has them.
    many : bool
        All ``KEY=VALUE`` words that follow belong to it.
    complete : callable, optional
        Returns what a shell may complete, for what was typed before; see
        `hitl.project.completion`.
    parse : callable, optional
        Makes the field's value of what was typed: one text, or several for a mapping.
    """

    name: str | None = None
    also: tuple[str, ...] = ()
    metavar: str | None = None
    help: str | None = None
    argument: bool = False
    panel: str | None = None
    only: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    choices: Callable[[], Mapping[str, str]] | None = None
    many: bool = False
    complete: Callable[[Mapping[str, Any]], Iterable[str]] | None = None
    parse: Callable[[Any], Any] | None = None


MOST = 1_000_000_000
"""Of what is counted: rounds, time points, rows that are listed."""

RoundNumber = Annotated[
    int | None, Flag("--round", metavar="R", min=0, max=MOST, complete=completion.round_numbers)
]


def check_number(name: str, value: object, flag: Flag) -> None:
    """Refuse a number out of its bounds, and NaN, which is in none.

    Parameters
    ----------
    name : str
        As it is typed.
    value : object
        A number, several of them, or anything else, which is not looked at.
    flag : Flag

    Raises
    ------
    UsageError
    """
    for each in value if isinstance(value, tuple | list) else (value,):
        if isinstance(each, bool) or not isinstance(each, int | float):
            continue
        least = -math.inf if flag.min is None else flag.min
        most = math.inf if flag.max is None else flag.max
        if not least <= each <= most:
            wanted = f"{_told(least)} to {_told(most)}"
            raise UsageError(f"{name}: expected a number from {wanted}, got {_told(each)}")


def _told(number: float) -> str:
    whole = isinstance(number, int) or (number.is_integer() and abs(number) < 1e9)
    return f"{int(number):,}" if whole else f"{number:g}"


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """Turn ``key=value`` arguments into a mapping; values are read as YAML scalars and lists.

    Raises
    ------
    ConfigError
        An argument without ``=``, a key given twice, or a value that is not YAML.
    """
    from hitl.project.yaml_text import YamlTextError, parse_yaml

    settings: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        key = key.strip()
        if not sign or not key:
            missing = "key" if sign else "="
            raise ConfigError(f"--set {_short(pair)}: expected key=value, got no {missing}")
        if key in settings:
            raise ConfigError(
                f"--set {_short(pair)}: {_short(key)} is given twice; keep one of them"
            )
        try:
            settings[key] = parse_yaml(value)
        except YamlTextError as exc:
            raise ConfigError(
                f"--set {_short(pair)}: the value cannot be read ({exc}); quote it"
            ) from exc
    return settings


def _short(text: str) -> str:
    """Return text as a part of a line."""
    shown = text if text.isprintable() else repr(text)
    return shown if len(shown) <= 80 else f"{shown[:80]}…"


def parse_words(pairs: list[str]) -> dict[str, str]:
    """Turn ``key=value`` words into a mapping of texts.

    Raises
    ------
    ConfigError
        A word without ``=``, without a key, or a key with two values.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        key, sign, value = (part.strip() for part in pair.partition("="))
        if not sign or not key:
            raise ConfigError(f"--meta {pair}: expected key=value, for example condition=drug")
        if found.setdefault(key, value) != value:
            raise ConfigError(f"--meta {key}: expected one value, got {found[key]} and {value}")
    return found


def parse_labels(pairs: list[str]) -> tuple[tuple[str | None, Path], ...]:
    """Turn ``CLASS=FILE``, or a file alone, into pairs of class and file.

    What is there as a file is one, whatever its name holds.

    Raises
    ------
    ConfigError
        A class that is named twice, or a ``=`` without a class or a file.
    """
    found: dict[str | None, Path] = {}
    for pair in pairs:
        name, sign, file = pair.partition("=")
        if not sign or Path(pair).exists():
            name, file = "", pair
        elif not name.strip() or not file:
            raise ConfigError(f"--labels {pair}: expected FILE or CLASS=FILE, as in golgi=mask.tif")
        key = name.strip() or None
        if key in found:
            raise ConfigError(
                f"--labels {pair}: expected one file for each class, got {found[key]} too; "
                "say whose labels each file has, as in --labels golgi=mask.tif"
            )
        found[key] = Path(file)
    return tuple(found.items())


def parse_classes(pairs: list[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Turn ``NAME`` or ``NAME=CHANNEL,CHANNEL`` into pairs of class and its channels.

    Raises
    ------
    ConfigError
        A class that is named twice, or a ``=`` without a channel.
    """
    found: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        name, sign, text = (part.strip() for part in pair.partition("="))
        channels = tuple(part.strip() for part in text.split(",") if part.strip())
        if not name or (sign and not channels):
            raise ConfigError(f"--class {pair}: expected NAME or NAME=CHANNEL, as in golgi=GFP")
        if name in found:
            raise ConfigError(f"--class {name}: is given twice; name each class once")
        found[name] = channels
    return tuple(found.items())


Fields = Annotated[
    tuple[str, ...],
    Flag(
        "--field",
        also=("--stack",),
        metavar="FIELD",
        help="Only this field, or FIELD:CLASS (repeatable).",
        complete=completion.field_names,
    ),
]
Classes = Annotated[
    tuple[str, ...],
    Flag(
        "--class",
        metavar="NAME",
        help="Only this class (repeatable).",
        complete=completion.class_names,
    ),
]
Settings = Annotated[
    Mapping[str, Any],
    Flag("--set", metavar="KEY=VALUE", parse=parse_settings, complete=completion.setting_keys),
]
"""Options of a model."""

VoxelSize = Annotated[
    tuple[float, float, float] | None,
    Flag(
        "--spacing-um",
        metavar="Z Y X",
        help="Voxel size in µm, where the file has none.",
        min=LEAST_UM,
        max=MOST_UM,
    ),
]
Axes = Annotated[
    str | None,
    Flag("--axes", help="Axes of the file, such as ZYX or CZYX, where it does not say."),
]
Channel = Annotated[
    str | None,
    Flag("--channel", metavar="C", help="Channel to segment: name, or number from 0."),
]
Field = Annotated[
    str,
    Flag(
        help="FIELD, or FIELD:CLASS where it has several classes.", complete=completion.label_names
    ),
]
Annotator = Annotated[
    str | None,
    Flag(
        "--annotator",
        metavar="NAME",
        help="Who corrects; the config's if not given.",
        complete=completion.annotators,
    ),
]
ImageFile = Annotated[Path, Flag(metavar="IMAGE", help="TIFF, OME-Zarr, NPY, ND2 or picture.")]
