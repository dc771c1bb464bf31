"""One row per nucleus: shape, neighbours, depth, intensities, and the phase of the cell cycle."""

from hitl.measure.nuclei import Measured, MeasureOptions, measure_nuclei
from hitl.measure.sources import ArraySource, VoxelSource

__all__ = ["ArraySource", "MeasureOptions", "Measured", "VoxelSource", "measure_nuclei"]
