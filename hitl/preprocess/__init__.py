"""Make images easier to segment: pure steps, and the config's list of them."""

from hitl.preprocess.pipeline import STEPS, apply
from hitl.preprocess.steps import (
    PreprocessError,
    clahe,
    gamma,
    histogram_stretch,
    maximum_projection,
    median,
    percentile_stretch,
    subtract_tophat,
    suppress_background,
    to_uint8,
)

__all__ = [
    "STEPS",
    "PreprocessError",
    "apply",
    "clahe",
    "gamma",
    "histogram_stretch",
    "maximum_projection",
    "median",
    "percentile_stretch",
    "subtract_tophat",
    "suppress_background",
    "to_uint8",
]
