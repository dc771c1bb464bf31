"""Training StarDist 2D: its own options, its network, patches and rays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Le

from models.options import BatchSize, Side
from models.runfolder import base_folder
from models.stardist3d import build, plan
from models.stardist3d.architecture import Grid
from models.stardist3d.plan import Triple
from models.stardist3d.runfolder import FLAT
from models.stardist3d.samples import PreparedStack
from models.stardist3d.training import StarDistTraining, largest_of

if TYPE_CHECKING:
    from models.stardist3d.batches import Targets

OBJECTS_ACROSS = 3.0
SMALLEST_SIDE, LARGEST_SIDE = 64.0, 256.0
"""Of a patch that is chosen by the objects' size, in pixels."""


@dataclass(frozen=True, kw_only=True)
class StarDist2DTrainer(StarDistTraining):
    """Options of a StarDist 2D training (Schmidt et al. 2018); None is taken from the data.

    Parameters
    ----------
    grid : (int, int), optional
        Subsampling (y, x) of the output, powers of two.
    patch_size : (int, int), optional
        Training patch (y, x) in pixels.
    """

    n_rays: Annotated[int, Ge(4), Le(512)] = 32
    grid: tuple[Grid, Grid] | None = None
    unet_n_depth: Annotated[int, Ge(1), Le(5)] = 2
    unet_n_filter_base: Annotated[int, Ge(1), Le(1024)] = 32
    object_voxels: Annotated[float, Ge(6), Le(10_000)] | None = 28.0
    patch_size: tuple[Side, Side] | None = None
    batch_size: BatchSize = 4

    model: ClassVar[str] = "stardist2d"
    flat: ClassVar[bool] = True

    def _network(
        self,
        folder: Path,
        sizes: plan.ObjectSizes,
        stacks: Sequence[PreparedStack],
        notes: list[str],
    ) -> Any:
        wanted = {"n_rays": self.n_rays, "grid": self.grid or plan.choose_grid(sizes)[1:]}
        if self.base_run is not None:
            base = base_folder(self.base_run, self.model)
            network = build.continued_network(folder, base, self.seed, FLAT)
            notes += build.differences(network.config, wanted)
            return network
        layers = {
            "unet_n_depth": self.unet_n_depth,
            "unet_n_filter_base": self.unet_n_filter_base,
            "net_conv_after_unet": self.net_conv_after,
            "train_batch_size": self.batch_size,
            "train_epochs": self.epochs,
            "train_learning_rate": self._highest_rate,
        }
        return build.fresh_network(folder, build.make_config(FLAT, wanted | layers), self.seed)

    def _patch(
        self,
        network: Any,
        sizes: plan.ObjectSizes,
        stacks: Sequence[PreparedStack],
        notes: list[str],
    ) -> Triple:
        y, x = (int(step) for step in network._axes_div_by("YX"))
        largest = largest_of(stacks)
        side = float(np.clip(OBJECTS_ACROSS * max(sizes.median[1:]), SMALLEST_SIDE, LARGEST_SIDE))
        height, width = self.patch_size or (side, side)
        patch = plan.fit_patch((1.0, height, width), (1, y, x), largest)
        if self.patch_size is not None and patch[1:] != tuple(self.patch_size):
            notes.append(
                f"patch_size {tuple(self.patch_size)} became {patch[1:]}: the network divides by "
                f"{(y, x)} and the training images have at most {largest[1:]} pixels"
            )
        return patch

    def _targets(self, config: Any) -> Targets:
        from models.stardist3d.batches import Targets

        # As StarDist's `ray_angles` and `dist_to_coord` have them.
        angles = np.linspace(0, 2 * np.pi, int(config.n_rays), endpoint=False)
        rays = np.stack((np.zeros_like(angles), np.sin(angles), np.cos(angles)), axis=1)
        y, x = (int(step) for step in config.grid)
        return Targets(rays, (1, y, x), None, flat=True)
