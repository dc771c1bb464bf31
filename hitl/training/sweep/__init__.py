"""A grid over a model's options: every cell a run of the project, one table, one plot."""

from hitl.training.sweep.grid import parse_grid, parse_seeds
from hitl.training.sweep.result import Sweep
from hitl.training.sweep.running import SweepRequest, sweep

__all__ = ["Sweep", "SweepRequest", "parse_grid", "parse_seeds", "sweep"]
