"""A stack of any size, read region by region as the network sees it."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from labels.progress import Progress, no_progress
from models.base import BlockSource, check_range, check_shape
from models.stardist3d.plan import Factors, Triple
from models.stardist3d.samples import Normalisation

CHECKED_BOX = (16, 512, 512)
"""Box that is looked at at once: whole chunks of a store, which else were unpacked repeatedly."""


class NetworkView:
    """Reads regions of a stack, normalised and at the network's voxel size.

    A region equals the same region of the whole stack after `Normalisation.apply` and
    `resampled`, but for rounding.

    Parameters
    ----------
    source : array of integer or float, shape (Z, Y, X)
    normalisation : Normalisation
    scale : (float, float, float), optional
        Zoom from the stack to the network's voxels.
    progress : callable, optional
        Told while the intensities are measured.

    Raises
    ------
    ImageError
        When the stack is not 3D, holds NaN or infinite voxels, or is constant.
    """

    def __init__(
        self,
        source: BlockSource,
        normalisation: Normalisation,
        scale: Factors | None = None,
        progress: Progress = no_progress,
    ) -> None:
        check_shape(source.shape)
        z, y, x = (int(size) for size in source.shape)
        self.image_shape: Triple = (z, y, x)
        self.scale = scale
        self._source, self._normalisation = source, normalisation
        self._limits = normalisation.limits(source)
        self._check(progress)
        factors = scale or (1.0, 1.0, 1.0)
        z, y, x = (round(n * f) for n, f in zip(self.image_shape, factors, strict=True))
        self.shape: Triple = (z, y, x)
        self._step = np.array(
            [(n - 1) / (m - 1) if m > 1 else 1.0
             for n, m in zip(self.image_shape, self.shape, strict=True)]
        )  # fmt: skip
        self._sigma = [max(0.0, (1 / factor - 1) / 2) for factor in factors]

    def read(self, start: NDArray[np.intp], stop: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the region from `start` to `stop`, in voxels of the network."""
        if self.scale is None:
            return self._part(start, stop)
        blurred = np.ceil(4 * np.array(self._sigma)).astype(int) + 1
        low = np.maximum(np.floor(start * self._step).astype(int) - blurred, 0)
        high = np.ceil((stop - 1) * self._step).astype(int) + 1 + blurred
        part = self._part(low, np.minimum(high, self.image_shape))
        region: NDArray[np.float32] = ndimage.affine_transform(
            ndimage.gaussian_filter(part, self._sigma),
            self._step,
            start * self._step - low,
            output_shape=tuple(int(side) for side in stop - start),
            order=1,
            mode="nearest",
        )
        return region

    def _part(self, low: NDArray[np.intp], high: NDArray[np.intp]) -> NDArray[np.float32]:
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        return self._normalisation.stretch(np.asarray(self._source[box]), *self._limits)

    def _check(self, progress: Progress) -> None:
        """Refuse what `models.base.check_image` refuses, box by box."""
        lowest, highest = np.inf, -np.inf
        starts = [range(0, n, s) for n, s in zip(self.image_shape, CHECKED_BOX, strict=True)]
        corners = list(itertools.product(*starts))
        for done, corner in enumerate(corners):
            progress(done, len(corners), "reading")
            box = tuple(
                slice(a, min(a + s, n))
                for a, s, n in zip(corner, CHECKED_BOX, self.image_shape, strict=True)
            )
            part = np.asarray(self._source[box])
            # NaN is neither less nor more, and must stay once it was met.
            lowest, highest = np.minimum(lowest, part.min()), np.maximum(highest, part.max())
        lowest, highest = float(lowest), float(highest)
        check_range(lowest, highest)
        if self._limits[1] <= self._limits[0]:
            self._limits = (lowest, highest)
