"""StarDist networks so small that stacks of a few thousand voxels have tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def write_tiny_run(folder: Path) -> None:
    """Write the run's files; the network is not trained and finds objects in any noise."""
    from models.stardist3d import runfolder, weights
    from models.stardist3d.runtime import import_stardist

    stardist = import_stardist()
    config = stardist.models.Config3D(
        rays=stardist.rays.Rays_GoldenSpiral(16, anisotropy=(2.0, 1.0, 1.0)),
        anisotropy=(2.0, 1.0, 1.0), grid=(1, 2, 2), unet_n_depth=1, unet_n_filter_base=2,
        net_conv_after_unet=2, unet_n_conv_per_depth=1,
    )  # fmt: skip
    network = runfolder.new_network(folder, config)
    seed_weights(network)
    runfolder.write_thresholds(folder, network, 0.5, 0.1)
    runfolder.write_settings(folder, runfolder.RunSettings())
    weights.save_weights(network.keras_model, folder / runfolder.BEST_WEIGHTS)


def seed_weights(network: Any) -> None:
    """Give a network the same random weights in every process, as TensorFlow's seed does not.

    In noise it then finds small objects, a hundred or so in ten thousand voxels.
    """
    rng = np.random.default_rng(0)
    model = network.keras_model
    model.set_weights(
        [rng.normal(0, np.prod(w.shape[:-1]) ** -0.5, w.shape) for w in model.get_weights()]
    )
    for name, bias in (("prob", -1.4), ("dist", 2.0)):
        kernel, old = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([kernel, np.full_like(old, bias)])


def tiny_network(folder: Path, **options: Any) -> Any:
    """An untrained network of eight rays."""
    from models.stardist3d.runfolder import new_network
    from models.stardist3d.runtime import import_stardist

    stardist = import_stardist()
    rays = stardist.rays.Rays_GoldenSpiral(8, anisotropy=(2, 1, 1))
    return new_network(folder, stardist.models.Config3D(rays=rays, anisotropy=(2, 1, 1), **options))
