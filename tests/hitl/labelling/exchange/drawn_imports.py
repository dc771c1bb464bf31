"""What comes back from a tool: corrections of many kinds, and accidents that look like none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Labels = NDArray[np.uint32]
Random = np.random.Generator


@dataclass(frozen=True)
class Field:
    """Objects as a person knows them, an image (Z, Y, X) of them, and other labels of its shape."""

    labels: Labels
    image: NDArray[np.integer]
    others: tuple[Labels, ...] = ()


def ids_in(labels: Labels) -> NDArray[np.uint32]:
    return np.unique(labels[labels > 0])


def fitted(labels: Labels, shape: tuple[int, ...]) -> Labels:
    """Labels of another field, cut and stretched to a shape."""
    index = [np.arange(n) * m // n for n, m in zip(shape, labels.shape, strict=True)]
    return np.ascontiguousarray(labels[np.ix_(*index)])


def ellipsoids(shape: tuple[int, ...], count: int, random: Random) -> Labels:
    """Nuclei that do not overlap, of about one size, wherever there is room."""
    labels = np.zeros(shape, np.uint32)
    radius = 0.55 * (np.prod(shape) * 0.25 / count * 3 / (4 * np.pi)) ** (1 / 3)
    axes = np.minimum(np.maximum(np.array([0.6, 1.2, 1.2]) * radius, 1.2), np.array(shape) / 3)
    grid = np.indices(shape)
    number = 0
    for _ in range(count * 20):
        centre = [random.uniform(0, n) for n in shape]
        size = axes * random.uniform(0.75, 1.25, 3)
        distance = sum(((grid[i] - centre[i]) / size[i]) ** 2 for i in range(3))
        inside = distance < 1
        if inside.sum() > 8 and not labels[inside].any():
            number += 1
            labels[inside] = number
        if number == count:
            break
    return labels


def image_of(labels: Labels, random: Random) -> NDArray[np.uint16]:
    return random.poisson(60 + 300 * ndimage.gaussian_filter((labels > 0) * 1.0, 1)).astype(
        np.uint16
    )


# Accidents -------------------------------------------------------------------------------------


def _moved(labels: Labels, step: tuple[int, ...]) -> Labels:
    out = np.zeros_like(labels)
    to = tuple(slice(max(0, d), min(n, n + d)) for d, n in zip(step, labels.shape, strict=True))
    of = tuple(slice(max(0, -d), min(n, n - d)) for d, n in zip(step, labels.shape, strict=True))
    out[to] = labels[of]
    return out


def _shift(field: Field, random: Random) -> Labels:
    step = [0, 0, 0]
    while not any(step):
        step = [int(random.integers(-4, 5)) if n > 12 else 0 for n in field.labels.shape]
    return _moved(field.labels, tuple(step))


def _off_by_one_slice(field: Field, random: Random) -> Labels:
    return _moved(field.labels, (int(random.choice([-1, 1])), 0, 0))


def _flip(field: Field, random: Random) -> Labels:
    axes = [a for a in range(3) if field.labels.shape[a] > 1]
    chosen = random.choice(axes, int(random.integers(1, len(axes) + 1)), replace=False)
    return np.ascontiguousarray(np.flip(field.labels, tuple(chosen)))


def _transpose(field: Field, random: Random) -> Labels | None:
    shape = field.labels.shape
    orders = ((0, 2, 1), (2, 1, 0), (1, 0, 2), (1, 2, 0), (2, 0, 1))
    fitting = [o for o in orders if tuple(shape[a] for a in o) == shape]
    if not fitting:
        return None
    return np.ascontiguousarray(field.labels.transpose(fitting[random.integers(len(fitting))]))


def _grow(field: Field, random: Random) -> Labels:
    """Every object grows into the background around it."""
    out = field.labels.copy()
    for _ in range(int(random.integers(1, 3))):
        structure = ndimage.generate_binary_structure(3, int(random.integers(1, 4)))
        if out.shape[0] == 1:
            structure = structure[1:2]
        larger = ndimage.grey_dilation(out, footprint=structure)
        out = np.where(out > 0, out, larger).astype(np.uint32)
    return out


def _shrink(field: Field, random: Random) -> Labels:
    structure = ndimage.generate_binary_structure(3, 1)
    structure = structure[1:2] if field.labels.shape[0] == 1 else structure
    low = ndimage.grey_erosion(field.labels, footprint=structure)
    high = ndimage.grey_dilation(field.labels, footprint=structure)
    return np.where(low == high, field.labels, 0).astype(np.uint32)


def _classes(field: Field, random: Random) -> Labels:
    """A class of voxels in place of an object, maybe one for the background as well."""
    count = int(random.integers(1, 4))
    values = random.integers(1, count + 1, int(field.labels.max()) + 1).astype(np.uint32)
    values[0] = 0 if random.random() < 0.5 else count + 1
    return values[field.labels]


def _other(field: Field, random: Random) -> Labels:
    if field.others and random.random() < 0.6:
        return field.others[random.integers(len(field.others))]
    count = max(6, int(len(ids_in(field.labels)) * random.uniform(0.6, 1.5)))
    return ellipsoids(field.labels.shape, count, random)


ACCIDENTS: dict[str, Callable[[Field, Random], Labels | None]] = {
    "image": lambda field, _: field.image.astype(np.uint32),
    "image of 8 bit": lambda field, _: (field.image // (field.image.max() / 255)).astype(np.uint32),
    "zeros": lambda field, _: np.zeros_like(field.labels),
    "mask": lambda field, random: (field.labels > 0) * np.uint32(random.choice([1, 255])),
    "classes": _classes,
    "other field": _other,
    "shifted": _shift,
    "off by one slice": _off_by_one_slice,
    "flipped": _flip,
    "transposed": _transpose,
    "grown": _grow,
    "shrunk": _shrink,
}


# Sessions --------------------------------------------------------------------------------------


def _retouched(labels: Labels, share: float, random: Random, most: int = 10) -> Labels:
    """Some objects gain or lose a few voxels at their border."""
    out = labels.copy()
    boxes = ndimage.find_objects(labels.astype(np.int64))
    for one in ids_in(labels).tolist():
        if random.random() >= share:
            continue
        place = boxes[one - 1]
        wide = tuple(
            slice(max(0, p.start - 1), min(n, p.stop + 1))
            for p, n in zip(place, labels.shape, strict=True)
        )
        inside = out[wide] == one
        few = max(1, min(most, int(inside.sum()) // 20))
        edge = inside & ~ndimage.binary_erosion(inside)
        beside = ndimage.binary_dilation(inside) & (out[wide] == 0)
        for mask, value in ((edge, 0), (beside, one)):
            where = np.argwhere(mask)
            chosen = random.permutation(len(where))[: int(random.integers(0, few + 1))]
            out[wide][tuple(where[chosen].T)] = value
    return out


def _cut(labels: Labels, share: float, random: Random) -> Labels:
    """Some objects are in two parts, cut across their longest side."""
    out, new = labels.copy(), int(labels.max())
    for one in ids_in(labels).tolist():
        if random.random() < share:
            where = np.argwhere(labels == one)
            axis = int(np.ptp(where, axis=0).argmax())
            part = where[where[:, axis] > np.median(where[:, axis])]
            new += 1
            out[tuple(part.T)] = new
    return out


def _spurious(labels: Labels, count: int, random: Random) -> Labels:
    """Objects where there are none, of the size of the true ones where they find room."""
    out, new = labels.copy(), int(labels.max())
    size = np.maximum(1, np.cbrt(np.median(np.bincount(labels.ravel())[1:])) * 0.8).astype(int)
    for _ in range(count * 30):
        at = [int(random.integers(0, max(1, n - size))) for n in labels.shape]
        place = tuple(slice(a, a + int(size)) for a in at)
        if count and (out[place] == 0).mean() > 0.7:
            new += 1
            out[place] = np.where(out[place] == 0, new, out[place])
            count -= 1
    return out


def _without(labels: Labels, share: float, random: Random) -> Labels:
    ids = random.permutation(ids_in(labels))
    return np.where(np.isin(labels, ids[: int(share * ids.size)]), 0, labels)


def _poor_proposals(field: Field, random: Random) -> tuple[Labels, Labels]:
    """Of proposals of which over half are none, these go; the others are touched up, some added."""
    truth, count = field.labels, len(ids_in(field.labels))
    found = _without(truth, random.uniform(0, 0.3), random)
    return _spurious(found, int(count * random.uniform(0.5, 1.5)), random), _retouched(
        truth, random.uniform(0, 1), random
    )


def _mostly_deleted(field: Field, random: Random) -> tuple[Labels, Labels]:
    left = _without(field.labels, random.uniform(0.3, 0.6), random)
    return field.labels, _retouched(left, random.uniform(0, 1), random)


SESSIONS: dict[str, Callable[[Field, Random], tuple[Labels, Labels]]] = {
    "all by a few voxels": lambda field, random: (
        field.labels,
        _retouched(field.labels, 1.0, random),
    ),
    "up to 60 % deleted": _mostly_deleted,
    "poor proposals": _poor_proposals,
    "all parts joined": lambda field, random: (
        _cut(field.labels, random.uniform(0.3, 1), random),
        _retouched(field.labels, random.uniform(0, 0.5), random),
    ),
    "all cut in two": lambda field, random: (
        field.labels,
        _cut(field.labels, random.uniform(0.3, 1), random),
    ),
    "first labels": lambda field, random: (np.zeros_like(field.labels), field.labels),
    "many added": lambda field, random: (
        _without(field.labels, random.uniform(0.3, 0.95), random),
        _retouched(field.labels, random.uniform(0, 1), random),
    ),
}


def renumbered(labels: Labels, random: Random) -> Labels:
    """The same objects, as a tool numbers them anew."""
    ids = np.unique(labels)
    others = random.permutation(np.arange(1, ids.size + 5))[: ids.size].astype(np.uint32)
    others[ids == 0] = 0
    return others[np.searchsorted(ids, labels)]
