"""What is kept of a point of a volume."""

from __future__ import annotations

import numpy as np

LANDMARK = np.dtype([("place", "<u2", 3), ("kind", "u1"), ("spare", "u1"), ("bits", "<u8")])
"""Place (z, y, x) as a share of the volume; kind tells the octave, and bright from dark; bits are
those of `descriptor.fingerprints`."""

MOST = (96, 64, 48, 48)
"""Landmarks of each octave, the finest first."""

CAPACITY = sum(MOST)
"""Landmarks of a volume."""
