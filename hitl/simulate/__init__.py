"""What corrections buy: an oracle with the true labels corrects, strategy by strategy."""

from hitl.simulate.curve import Curve, LevelCost, Point
from hitl.simulate.oracle import Bench, Case, Correction, Target
from hitl.simulate.rounds import SimulationResult, simulate
from hitl.simulate.strategies import STRATEGIES, Strategy

__all__ = [
    "STRATEGIES",
    "Bench",
    "Case",
    "Correction",
    "Curve",
    "LevelCost",
    "Point",
    "SimulationResult",
    "Strategy",
    "Target",
    "simulate",
]
