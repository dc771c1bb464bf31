"""One row per nucleus: shape, neighbours, depth, intensities, and the phase of the cell cycle."""
