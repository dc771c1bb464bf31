"""Cellpose's own model, run by pieces that can be watched, cancelled and held in memory."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import threading
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from labels.progress import Progress
from models.cellpose.checkpoint import check_checkpoint
from models.devices import Compute
from models.errors import CheckpointError, ImageError

Forward = Literal["fast", "stock"]

BUSY = threading.RLock()
"""Held by whoever runs the shared network: its progress hook belongs to one caller."""

TILE = 256
"""Cellpose-SAM's tile edge in pixels, fixed by its position embedding."""

VIEWS = 3
"""Views whose logits Cellpose adds up in three dimensions (YX, ZY, ZX)."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Cellpose's log messages below errors, and a warning of torch's, from the caller."""
    logger = logging.getLogger("cellpose")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse invariant checks")
            yield
    finally:
        logger.setLevel(level)


def load(path: Path, compute: Compute, forward: Forward = "stock") -> Any:
    """Return Cellpose's model with these weights; the last one asked for stays in memory.

    Parameters
    ----------
    path : Path
    compute : Compute
    forward : {"fast", "stock"}
        ``"fast"`` runs the same weights through `models.cellpose.fast`.

    Raises
    ------
    CheckpointError
        When the file is damaged or of another architecture.
    """
    state = path.stat()
    stock, fast = _load(path, state.st_size, state.st_mtime_ns, compute)
    return fast if forward == "fast" else stock


@lru_cache(maxsize=1)
def _load(path: Path, size: int, mtime_ns: int, compute: Compute) -> tuple[Any, Any]:
    """Return two models that share one network's weights: Cellpose's own, and the fast one."""
    from models.cellpose.fast import FastTransformer

    stock = _load_stock(path, size, compute)
    fast = copy.copy(stock)
    fast.net = FastTransformer(stock.net)
    return stock, fast


def _load_stock(path: Path, size: int, compute: Compute) -> Any:
    import torch
    from cellpose.models import CellposeModel

    check_checkpoint(path)
    try:
        return CellposeModel(
            pretrained_model=str(path),
            device=torch.device(compute.device),
            use_bfloat16=compute.bf16,
        )
    except (RuntimeError, ValueError, EOFError) as error:
        raise CheckpointError(
            f"{path} ({size} bytes) could not be loaded: {error}; "
            "if it is damaged, delete it and download it again"
        ) from error


MOST_CHANNELS = 3
"""Cellpose leaves out more without an error."""


def normalise(image: NDArray[Any], percentiles: tuple[float, float]) -> NDArray[np.float32]:
    """Return a copy stretched by Cellpose so that the two percentiles become 0 and 1.

    Parameters
    ----------
    image : ndarray of integer or float, shape (Z, Y, X)
    percentiles : (float, float)
        Of all voxels of the stack.

    Raises
    ------
    ImageError
        When there is no contrast between the percentiles.
    """
    from cellpose.transforms import normalize_img

    def stretch(array: NDArray[np.float32]) -> NDArray[np.float32]:
        out: NDArray[np.float32] = normalize_img(array[..., None], percentile=percentiles)[..., 0]
        return out

    # Cellpose stretches a float32 array in place: without a copy it would be the caller's.
    stretched = stretch(image.astype(np.float32))
    if not stretched.any():
        # Cellpose blanks what spans less than 0.001; a scale of its own brings floats back.
        low, high = float(image.min()), float(image.max())
        stretched = stretch(((image - low) * (65535.0 / (high - low))).astype(np.float32))
    if not stretched.any():
        raise ImageError(
            f"expected contrast between percentiles {percentiles[0]} and {percentiles[1]} of the "
            "intensities, got one value; set percentiles further apart, for example (0, 99.99)"
        )
    return stretched


def normalise_channels(
    image: NDArray[Any], percentiles: tuple[float, float]
) -> NDArray[np.float32]:
    """Return each channel stretched as `normalise` does, shape (Z, Y, X, C)."""
    return np.stack([normalise(channel, percentiles) for channel in image], axis=-1)


def tiles_per_plane(height: int, width: int, overlap: float, augment: bool) -> int:
    """Return how many tiles Cellpose cuts a plane of `height` × `width` pixels into."""
    from cellpose.transforms import get_pad_yx

    top, bottom, left, right = get_pad_yx(height, width, min_size=(TILE, TILE))
    counts = []
    for length in (height + top + bottom, width + left + right):
        if augment:
            counts.append(max(2, int(np.ceil(2.0 * length / TILE))))
        else:
            fits = length <= TILE
            counts.append(1 if fits else int(np.ceil((1.0 + 2 * overlap) * length / TILE)))
    return counts[0] * counts[1]


def network_runs(planes: int, tiles: int, batch_size: int) -> int:
    """Return how often Cellpose calls its network for `planes` planes of `tiles` tiles."""
    together = max(1, batch_size // tiles)
    full, rest = divmod(planes, together)
    return full * -(-tiles * together // batch_size) + -(-tiles * rest // batch_size)


@contextlib.contextmanager
def watched(model: Any, total: int, progress: Progress) -> Iterator[None]:
    """Call `progress` before each run of the network; what it raises ends the work."""
    done = 0

    def report(*_: Any) -> None:
        nonlocal done
        progress(min(done, total), total, "Cellpose tiles")
        done += 1

    handle = model.net.register_forward_pre_hook(report)
    try:
        yield
    finally:
        handle.remove()


def slices(
    model: Any, image: NDArray[np.float32], planes: int, options: dict[str, Any]
) -> Iterator[tuple[slice, NDArray[Any], NDArray[np.float32], NDArray[np.float32]]]:
    """Run Cellpose on `planes` z slices at a time.

    Parameters
    ----------
    model : cellpose.models.CellposeModel
    image : ndarray of float32, shape (Z, Y, X, C)
        Normalised.
    planes : int
        As many as share a batch of tiles, so that the numbers equal those of one call.
    options : dict
        Further arguments of ``CellposeModel.eval``.

    Yields
    ------
    slice, ndarray (z, Y, X), ndarray (2, z, Y, X), ndarray (z, Y, X)
        Which slices, their masks, their flows (y, x) and their logits.
    """
    for start in range(0, len(image), planes):
        part = image[start : start + planes]
        masks, flows, _ = model.eval(part, channel_axis=3, **options)
        shape = part.shape[:3]
        yield (
            slice(start, start + len(part)),
            masks.reshape(shape),
            flows[1].reshape(2, *shape),
            _finite(flows[2].reshape(shape)),
        )


def volume(
    model: Any, image: NDArray[np.float32], options: dict[str, Any]
) -> tuple[NDArray[np.uint32], NDArray[np.float32], NDArray[np.float32]]:
    """Run Cellpose on the three views of a normalised stack of shape (Z, Y, X, C).

    Returns
    -------
    ndarray of uint32 (Z, Y, X), ndarray of float32 (3, Z, Y, X), ndarray of float32 (Z, Y, X)
        Masks, flows (z, y, x), and logits: the mean of the three views', which Cellpose adds up.
    """
    masks, flows, _ = model.eval(image, z_axis=0, channel_axis=3, do_3D=True, **options)
    shape = image.shape[:3]
    logits = _finite(flows[2].reshape(shape)) / np.float32(VIEWS)
    return masks.reshape(shape).astype(np.uint32), flows[1], logits


def stitch(masks: NDArray[np.uint32], threshold: float, min_size: int) -> NDArray[np.uint32]:
    """Join masks of neighbouring slices by Cellpose's rule: overlap of at least `threshold`.

    Cellpose's function starts counting anew at an empty second slice, so that two objects on
    either side of it get one id; it is therefore given runs of slices that hold masks.

    Parameters
    ----------
    masks : ndarray of uint32, shape (Z, Y, X)
        One numbering per slice; overwritten.
    threshold : float
        Intersection over union.
    min_size : int
        Objects of fewer voxels are dropped; -1 keeps all.
    """
    from cellpose.utils import fill_holes_and_remove_small_masks, stitch3D

    holds = np.concatenate([[False], masks.any(axis=(1, 2)), [False]])
    edges = np.flatnonzero(np.diff(holds.astype(np.int8)))
    offset = np.uint32(0)
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        # Its progress bar cannot be turned off.
        with contextlib.redirect_stderr(io.StringIO()):
            run = stitch3D(masks[start:stop], stitch_threshold=threshold)
        run[run > 0] += offset
        masks[start:stop] = run
        offset = run.max()
    filled: NDArray[np.uint32] = fill_holes_and_remove_small_masks(masks, min_size=min_size)
    return filled


def _finite(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(logits).all():
        raise CheckpointError(
            "expected finite cell logits from Cellpose, got NaN or infinity: the weights are "
            "damaged (delete and download them again) or overflow (set precision to fp32)"
        )
    return logits
