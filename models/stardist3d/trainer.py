"""Training StarDist 3D: its own options, its network, patches and rays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le

from models.options import BatchSize, Side
from models.runfolder import base_folder
from models.stardist3d import build, plan
from models.stardist3d.architecture import Grid, Ratio
from models.stardist3d.plan import Triple
from models.stardist3d.runtime import import_stardist
from models.stardist3d.samples import PreparedStack
from models.stardist3d.training import StarDistTraining, largest_of

if TYPE_CHECKING:
    from models.stardist3d.batches import Targets


@dataclass(frozen=True, kw_only=True)
class StarDist3DTrainer(StarDistTraining):
    """Options of a StarDist 3D training (Weigert et al. 2020); None is taken from the data.

    Parameters
    ----------
    grid : (int, int, int), optional
        Subsampling of the output, powers of two.
    anisotropy : (float, float, float), optional
        Relative voxel size of the rays; by default from the objects' extents.
    backbone : str
        ``"unet"`` or ``"resnet"``.
    unet_n_filter_base : int
        Features of the first level, for both backbones.
    resnet_n_blocks : int
        Blocks of the ResNet.
    patch_size : (int, int, int), optional
        Training patch in voxels.
    """

    n_rays: Annotated[int, Ge(4), Le(512)] = 96
    grid: tuple[Grid, Grid, Grid] | None = None
    anisotropy: tuple[Ratio, Ratio, Ratio] | None = None
    backbone: Literal["unet", "resnet"] = "unet"
    resnet_n_blocks: Annotated[int, Ge(1), Le(64)] = 4
    object_voxels: Annotated[float, Ge(6), Le(10_000)] | None = 14.0
    patch_size: tuple[Side, Side, Side] | None = None
    batch_size: BatchSize = 2

    model: ClassVar[str] = "stardist3d"

    def _network(
        self,
        folder: Path,
        sizes: plan.ObjectSizes,
        stacks: Sequence[PreparedStack],
        notes: list[str],
    ) -> Any:
        """Return the network to train: new, or the base run's with its weights."""
        grid = self.grid or plan.choose_grid(sizes)
        anisotropy = self.anisotropy or plan.choose_anisotropy(sizes)
        if self.base_run is not None:
            base = base_folder(self.base_run, self.model)
            network = build.continued_network(folder, base, self.seed)
            notes += build.differences(
                network.config,
                {
                    "n_rays": self.n_rays,
                    "grid": grid,
                    "anisotropy": anisotropy,
                    "backbone": self.backbone,
                },
            )
            return network
        pool = plan.choose_pool(sizes, grid, self.unet_n_depth, largest_of(stacks))
        config = build.deep_config(self.n_rays, grid, anisotropy, self.backbone, self._layers(pool))
        return build.fresh_network(folder, config, self.seed)

    def _layers(self, pool: Triple) -> dict[str, Any]:
        trained = {
            "train_batch_size": self.batch_size,
            "train_epochs": self.epochs,
            "train_learning_rate": self._highest_rate,
        }
        if self.backbone == "unet":
            return trained | {
                "unet_n_depth": self.unet_n_depth,
                "unet_n_filter_base": self.unet_n_filter_base,
                "unet_pool": pool,
                "net_conv_after_unet": self.net_conv_after,
            }
        return trained | {
            "resnet_n_blocks": self.resnet_n_blocks,
            "resnet_n_filter_base": self.unet_n_filter_base,
            "net_conv_after_resnet": self.net_conv_after,
        }

    def _patch(
        self,
        network: Any,
        sizes: plan.ObjectSizes,
        stacks: Sequence[PreparedStack],
        notes: list[str],
    ) -> Triple:
        z, y, x = (int(step) for step in network._axes_div_by("ZYX"))
        largest = largest_of(stacks)
        if self.patch_size is None:
            return plan.choose_patch(sizes, (z, y, x), largest)
        patch = plan.fit_patch(self.patch_size, (z, y, x), largest)
        if patch != tuple(self.patch_size):
            notes.append(
                f"patch_size {tuple(self.patch_size)} became {patch}: the network divides by "
                f"{(z, y, x)} and the training stacks have at most {largest} voxels"
            )
        return patch

    def _targets(self, config: Any) -> Targets:
        from models.stardist3d.batches import Targets

        rays = import_stardist().rays.rays_from_json(config.rays_json)
        return Targets(
            np.asarray(rays.vertices, dtype=np.float64),
            tuple(config.grid),
            None if config.anisotropy is None else tuple(config.anisotropy),
        )
