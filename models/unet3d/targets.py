"""What the network learns from instance labels: classes, distance, and where they are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.spacing import Spacing

BACKGROUND, EDGE, NUCLEUS = 0, 1, 2


@dataclass(frozen=True)
class Targets:
    """Training targets of one stack, all of shape (Z, Y, X).

    Parameters
    ----------
    classes : ndarray of uint8
        0 background, 1 edge, 2 nucleus.
    inside : ndarray of uint8
        1 in objects, contacts between objects included.
    distance : ndarray of float32
        Distance to the object's border over the object's largest distance; 0 outside.
    voxels : ndarray of float32
        How much each voxel counts; 0 where nobody knows.
    sure : ndarray of uint8
        1 where the distance is known: not in objects that continue into unknown voxels.
    """

    classes: NDArray[np.uint8]
    inside: NDArray[np.uint8]
    distance: NDArray[np.float32]
    voxels: NDArray[np.float32]
    sure: NDArray[np.uint8]


def edge_classes(labels: NDArray[np.integer[Any]], width_px: int) -> NDArray[np.uint8]:
    """Return background, edge and nucleus classes.

    The edge is, per slice, the dilation of the objects (a disk of `width_px`) minus the objects.
    Where two objects touch, the contact is edge too: on both sides in a slice, on the upper side
    along z, so that the nuclei are 6-connected components.

    Parameters
    ----------
    labels : ndarray of integer, shape (Z, Y, X)
    width_px : int
        Width of the edge in pixels.

    Returns
    -------
    ndarray of uint8, shape (Z, Y, X)
    """
    import cv2

    objects = (labels > 0).astype(np.uint8)
    size = 2 * width_px + 1
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    grown = np.stack([cv2.dilate(slice_, disk) for slice_ in objects])
    classes = np.where(objects > 0, NUCLEUS, np.where(grown > 0, EDGE, BACKGROUND))
    classes[_contacts(labels)] = EDGE
    return classes.astype(np.uint8)


def _contacts(labels: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    found = np.zeros(labels.shape, bool)
    for axis in range(3):
        a = np.moveaxis(labels, axis, 0)
        touch = (a[1:] != a[:-1]) & (a[1:] > 0) & (a[:-1] > 0)
        out = np.moveaxis(found, axis, 0)
        out[1:] |= touch
        if axis > 0:
            out[:-1] |= touch
    return found


def relative_distance(labels: NDArray[np.integer[Any]], spacing_um: Spacing) -> NDArray[np.float32]:
    """Return each voxel's distance to its object's border over the object's largest distance.

    Parameters
    ----------
    labels : ndarray of integer, shape (Z, Y, X)
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.

    Returns
    -------
    ndarray of float32, shape (Z, Y, X)
        In (0, 1] in objects, 0 outside. The border of the stack is not an object's border.
    """
    import edt
    import fastremap

    dense, _ = fastremap.renumber(np.ascontiguousarray(labels), in_place=False)
    if not dense.any():
        return np.zeros(labels.shape, np.float32)
    distance = edt.edt(dense, anisotropy=spacing_um, black_border=False, parallel=1)
    # A stack that one object fills has no border and so no distance.
    distance = np.where(np.isfinite(distance), distance, 1).astype(np.float32)
    largest = np.zeros(int(dense.max()) + 1, np.float32)
    np.maximum.at(largest, dense.ravel(), distance.ravel())
    largest[0] = np.inf
    relative: NDArray[np.float32] = distance / largest[dense]
    return relative


def gap_weights(
    labels: NDArray[np.integer[Any]],
    spacing_um: Spacing,
    amplitude: float = 100.0,
    sigma_px: float = 5.0,
) -> NDArray[np.float32]:
    """Return voxel weights that stress narrow gaps: 1 + a·exp(−(d1 + d2)² / 2σ²).

    d1 and d2 are the distances to the nearest and second nearest object, in xy pixels; only the
    background gets more than 1 (Ronneberger et al. 2015, U-Net).

    Parameters
    ----------
    labels : ndarray of integer, shape (Z, Y, X)
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    amplitude, sigma_px : float
        a, and σ in xy pixels.

    Returns
    -------
    ndarray of float32, shape (Z, Y, X)
    """
    import edt
    from scipy import ndimage

    pixel = float(np.sqrt(spacing_um[1] * spacing_um[2]))
    anisotropy = tuple(s / pixel for s in spacing_um)
    reach = tuple(int(np.ceil(4 * sigma_px / a)) for a in anisotropy)
    nearest = np.full((2, *labels.shape), np.float32(np.inf))
    for index, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        wide = _grown(box, reach, labels.shape)
        away = np.ascontiguousarray(labels[wide] != index)
        d = edt.edt(away, anisotropy=anisotropy, black_border=False, parallel=1)
        first, second = nearest[0][wide], nearest[1][wide]
        np.minimum(second, np.maximum(first, d), out=second)
        np.minimum(first, d, out=first)
    with np.errstate(over="ignore"):
        extra = amplitude * np.exp(-(nearest.sum(0) ** 2) / (2 * sigma_px**2))
    return (1 + np.where(labels == 0, extra, 0)).astype(np.float32)


def _grown(box: Sequence[slice], reach: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    return tuple(
        slice(max(s.start - r, 0), min(s.stop + r, n))
        for s, r, n in zip(box, reach, shape, strict=True)
    )


def make_targets(
    labels: NDArray[np.integer[Any]],
    mask: NDArray[np.bool_],
    spacing_um: Spacing,
    edge_width_px: int,
    gap: tuple[float, float] | None = None,
) -> Targets:
    """Return the targets, and where they are known.

    Labels where `mask` is False play no part: a class counts only when it is the same whether the
    unknown voxels next to it are background or another object.

    Parameters
    ----------
    labels : ndarray of integer, shape (Z, Y, X)
    mask : ndarray of bool, shape (Z, Y, X)
        True where the label, or the background, may be learned from.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    edge_width_px : int
        Width of the edge class in pixels.
    gap : (float, float), optional
        Amplitude and σ in px of `gap_weights`.

    Returns
    -------
    Targets
    """
    known = np.where(mask, labels, 0).astype(np.int32)
    classes = edge_classes(known, edge_width_px)
    voxels = mask.astype(np.float32)
    sure = np.ones(labels.shape, np.uint8)
    if not mask.all():
        stranger = np.where(mask, known, known.max() + 1)
        voxels[edge_classes(stranger, edge_width_px) != classes] = 0
        sure = _whole_objects(known, stranger)
    if gap is not None:
        voxels *= gap_weights(known, spacing_um, *gap)
    return Targets(
        classes, (known > 0).astype(np.uint8), relative_distance(known, spacing_um), voxels, sure
    )


def _whole_objects(known: NDArray[np.int32], stranger: NDArray[np.int32]) -> NDArray[np.uint8]:
    # An object next to unknown voxels may go on there, so its distances are not known.
    unknown = stranger.max()
    cut = np.zeros(int(unknown) + 1, bool)
    for axis in range(3):
        a = np.moveaxis(stranger, axis, 0)
        for one, other in ((a[1:], a[:-1]), (a[:-1], a[1:])):
            cut[np.unique(one[other == unknown])] = True
    cut[0] = False
    return (~cut[known]).astype(np.uint8)
