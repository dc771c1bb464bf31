"""From a grid to its cells, and from a cell to the fingerprint that it is found by."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hitl.project.config import SweepConfig, check_sweep
from hitl.project.errors import ConfigError
from hitl.project.schema import options_model, validate
from hitl.training.samples import TrainingSet
from labels.hashing import values_sha256
from models.registry import trainer_class

MOST_CELLS = 10_000
"""More cells than this are never trained."""

SEED = "seed"
FREE = ("logger", "threads")
"""Options that change nothing about the result."""


@dataclass(frozen=True)
class Cell:
    """One training of a sweep.

    Parameters
    ----------
    varied : mapping
        The options that differ between the cells, the seed left out.
    options : mapping
        All options of the trainer.
    """

    varied: dict[str, Any]
    options: dict[str, Any]

    @property
    def label(self) -> str:
        """What tells the cell from the others, in one line."""
        words = [f"{key}={show(value)}" for key, value in self.varied.items()]
        return ", ".join(words) or "as configured"


def show(value: Any) -> str:
    """Return an option's value as people write it."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(show(item) for item in value) + "]"
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def count_cells(spec: SweepConfig) -> int:
    """Return how many cells a sweep has at most; combinations that are in two grids count twice."""
    combinations = sum(math.prod(map(len, grid.values())) for grid in spec.grids)
    return combinations * max(len(spec.seeds), 1)


def make_cells(model: str, options: Mapping[str, Any], spec: SweepConfig, where: str) -> list[Cell]:
    """Return the cells of a sweep, each combination once.

    Parameters
    ----------
    model : str
        Name of a trainer.
    options : mapping
        Options that the cells share, those that `spec` sets left out.
    spec : SweepConfig
    where : str
        Where the sweep is written down, for messages.

    Raises
    ------
    ConfigError
        No grid, too many cells, an unknown key or an invalid value.
    ModelError
        Options that do not go together.
    """
    _refuse(model, spec, where)
    trainer = trainer_class(model)
    schema = options_model(trainer)
    names = list(dict.fromkeys(key for grid in spec.grids for key in grid if key != SEED))
    found: dict[str, Cell] = {}
    for grid in spec.grids:
        axes = {**grid, **({SEED: list(spec.seeds)} if spec.seeds else {})}
        for values in itertools.product(*axes.values()):
            raw = {**options, **spec.set, **dict(zip(axes, values, strict=True))}
            resolved = validate(schema, raw, where).model_dump()
            # Options that do not go together are refused before any cell is trained.
            trainer(**resolved)
            cell = Cell({name: resolved[name] for name in names}, resolved)
            found.setdefault(_canonical(resolved), cell)
    return _without_constants(list(found.values()))


def _refuse(model: str, spec: SweepConfig, where: str) -> None:
    check_sweep(model, spec, where)
    if not any(spec.grids) and len(spec.seeds) < 2:
        raise ConfigError(
            f"{where}: the grid is empty; give it with --grid key=v1,v2 or in a config's "
            f"section sweep.{model}.grids"
        )
    if count_cells(spec) > MOST_CELLS:
        raise ConfigError(
            f"{where}: expected at most {MOST_CELLS} cells, got {count_cells(spec)}; take fewer "
            "values, or several small grids in a config instead of one large one"
        )
    if spec.seeds and any(SEED in grid for grid in spec.grids):
        raise ConfigError(f"{where}: seeds are given twice, as seeds and in the grid; keep one")


def _without_constants(cells: list[Cell]) -> list[Cell]:
    """Leave out of `varied` what is the same in all cells."""
    keys = [
        key for key in cells[0].varied if len({show(cell.varied[key]) for cell in cells}) > 1
    ] or list(cells[0].varied)
    return [Cell({key: cell.varied[key] for key in keys}, cell.options) for cell in cells]


def data_fingerprint(data: TrainingSet) -> str:
    """Return a hash of every voxel that a training on `data` sees."""
    parts: list[object] = []
    for samples in (data.train, data.val):
        for sample in samples:
            parts.append((sample.name, sample.image.shape, sample.spacing_um))
            parts += [sample.image, sample.labels, sample.mask]
        parts.append("|")
    return values_sha256(*parts)


def cell_fingerprint(model: str, cell: Cell, data: str) -> str:
    """Return a hash of all that decides what a cell's training gives."""
    options = {key: value for key, value in cell.options.items() if key not in FREE}
    return values_sha256(f"{model}|{_canonical(options)}|{data}")


def _canonical(options: Mapping[str, Any]) -> str:
    return json.dumps(options, sort_keys=True)
