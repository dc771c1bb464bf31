"""Synthetic nuclei under a fluorescence microscope, with the exact truth."""

from __future__ import annotations

import numpy as np

from models.synthetic.options import NucleiOptions
from models.synthetic.scene import draw_scene
from models.synthetic.stack import SyntheticStack


class NucleiGenerator(NucleiOptions):
    """Draws stacks with the looks that `NucleiOptions` lists."""

    def make(self, seed: int = 0) -> SyntheticStack:
        """Draw one stack; the same seed gives the same voxels.

        Raises
        ------
        SyntheticError
            When not one nucleus could be drawn.
        """
        return draw_scene(self, np.random.default_rng(seed))
