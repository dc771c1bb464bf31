"""What the verbs of training are asked for; the command line's options follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as default
from functools import partial
from typing import Annotated, Any

from hitl.project import completion
from hitl.project.errors import ConfigError
from hitl.project.options import Classes, Fields, Flag, Settings
from models.registry import models_with

MOST_SEED, MOST_DIGITS = 2**32 - 1, 10

TrainableModel = Annotated[str, Flag(choices=partial(models_with, "trainer"))]


def parse_grid(pairs: list[str]) -> dict[str, list[Any]]:
    """Turn ``key=v1,v2`` arguments into a grid; each value is YAML, so a list is ``[16,32]``.

    Raises
    ------
    ConfigError
        No ``=``, no value, a key given twice, or a value that is not YAML.
    """
    from hitl.project.yaml_text import YamlTextError, parse_yaml

    grid: dict[str, list[Any]] = {}
    for pair in pairs:
        key, sign, text = (part.strip() for part in pair.partition("="))
        if not sign or not key:
            raise ConfigError(f"--grid {pair}: expected key=v1,v2, for example --grid loss=wce,iou")
        if key in grid:
            raise ConfigError(f"--grid {pair}: {key} is given twice; write all its values in one")
        try:
            values = parse_yaml(f"[{text}]")
        except YamlTextError as exc:
            raise ConfigError(
                f"--grid {pair}: the values cannot be read; separate them with commas and write "
                "a list in brackets, for example --grid 'features=[16,32],[32,64]'"
            ) from exc
        if not values:
            raise ConfigError(f"--grid {pair}: {key} has no value; give at least one")
        grid[key] = values
    return grid


def parse_seeds(text: str) -> tuple[int, ...]:
    """Turn ``0,1,2`` into seeds.

    Raises
    ------
    ConfigError
        Not whole numbers from 0, or one given twice.
    """
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    seeds = tuple(int(part) for part in parts if part.isdecimal() and len(part) <= MOST_DIGITS)
    if len(set(seeds)) != len(parts) or max(seeds, default=0) > MOST_SEED:
        raise ConfigError(
            f"--seeds {text}: expected different whole numbers from 0 to {MOST_SEED}, for example "
            "--seeds 0,1,2"
        )
    return seeds


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What `hitl train` is asked for.

    Parameters
    ----------
    model : str
    settings : mapping
        One of the model's options (repeatable).
    fields, classes : tuple of str
    """

    model: TrainableModel
    settings: Settings = default(default_factory=dict)
    fields: Fields = ()
    classes: Classes = ()


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """What `hitl sweep` is asked for.

    Parameters
    ----------
    model : str
    config : str, optional
        YAML file, or shipped config such as sweep_losses, with grids in sweep.MODEL; the project's
        own if not given.
    grid : mapping of str to list
        Values of an option (repeatable); lists in brackets: 'features=[16,32],[32,64]'.
    seeds : tuple of int
        Train each combination with each seed.
    folds : int
        Train each combination anew for each of so many folds of the fields, and score it there.
    by : str
        What stays in one fold: field, or a key of the fields' metadata such as specimen.
    settings : mapping
        An option of every cell (repeatable).
    fields, classes : tuple of str
    name : str
        Folder in PROJECT/sweeps; made up if not given.
    evaluate : bool
        Score on the test fields too (not sorted by it).
    sort : str
        f1, evaluation_score, dice, f1_nucleus, f1_edge, val_loss, minutes.
    retry_failed : bool
        Train again what has failed.
    yes : bool
        Train more than 100 cells.
    """

    model: TrainableModel
    config: Annotated[str | None, Flag(metavar="FILE", complete=completion.config_names)] = None
    grid: Annotated[
        Mapping[str, list[Any]],
        Flag(metavar="KEY=V1,V2", parse=parse_grid, complete=completion.setting_keys),
    ] = default(default_factory=dict)
    seeds: Annotated[tuple[int, ...], Flag(metavar="N,N", parse=parse_seeds)] = ()
    folds: Annotated[int, Flag(metavar="N", min=0, max=10_000)] = 0
    by: Annotated[str, Flag(metavar="field|KEY")] = ""
    settings: Settings = default(default_factory=dict)
    fields: Fields = ()
    classes: Classes = ()
    name: str = ""
    evaluate: bool = False
    sort: str = "f1"
    retry_failed: bool = False
    yes: bool = False
