"""What every other package needs of label images: voxel sizes, hashes, progress and overlaps.

This package knows none of the others. Numba is loaded by the function that needs it.
"""
