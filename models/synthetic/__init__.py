"""Synthetic nuclei with the exact truth: one generator, and options drawn or fitted for it."""

from models.synthetic.fitting import like
from models.synthetic.generator import NucleiGenerator
from models.synthetic.options import NucleiOptions
from models.synthetic.ranges import Ranges, random_generator
from models.synthetic.stack import SyntheticError, SyntheticStack

__all__ = [
    "NucleiGenerator",
    "NucleiOptions",
    "Ranges",
    "SyntheticError",
    "SyntheticStack",
    "like",
    "random_generator",
]
