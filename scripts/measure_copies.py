"""How often a copy is found by content, and how often a stranger is taken for one.

Synthetic stacks and halves of labelled real ones are put into a store. Then copies are drawn from
them (cropped, flipped, turned, another contrast, resampled, noise added, up to four at once), and
strangers: other stacks, the same options drawn anew, the same nuclei a step later with noise of
their own, and the other halves; half of the strangers are changed as copies are.

Run it from the repository's root:
``python -m scripts.measure_copies STACK_FOLDER … --copies 200 --strangers 200 --seed 1``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from annotations.store import AnnotationStore
from annotations.volume import ImageInfo
from models.synthetic.generator import NucleiGenerator
from models.synthetic.ranges import random_generator

SYNTHETIC = 20
SHAPES = ((24, 96, 112), (16, 128, 128), (32, 80, 96), (12, 160, 144))
Voxels = NDArray[np.float32]
Whole = NDArray[np.uint16]
Random = np.random.Generator


class ArrayVolume:
    """A stack in memory, of one channel, as the store takes it."""

    def __init__(self, voxels: Whole) -> None:
        self._voxels = voxels
        self.info = ImageInfo(
            path=Path("memory.npy"),
            shape=(1, 1, *voxels.shape),
            dtype=voxels.dtype,
            spacing_um=(1.0, 1.0, 1.0),
            time_step_s=None,
            channels=("0",),
            format="npy",
        )

    def read(self, time: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Return slices (C, Z, Y, X) of a time point."""
        return self._voxels[None, z_start:z_stop]

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def cropped(voxels: Voxels, random: Random) -> Voxels:
    """Take a column off, or about half, or a part of every axis."""
    kind = random.integers(3)
    if kind == 0:
        return voxels[:, :, 1:]
    if kind == 1:
        half = int(voxels.shape[2] * random.uniform(0.48, 0.6))
        start = int(random.integers(0, voxels.shape[2] - half + 1))
        return voxels[:, :, start : start + half]
    box = []
    for size in voxels.shape:
        kept = size if size < 16 else int(size * random.uniform(0.75, 1))
        start = int(random.integers(0, size - kept + 1))
        box.append(slice(start, start + kept))
    return voxels[tuple(box)]


def turned(voxels: Voxels, random: Random) -> Voxels:
    """Flip some axes, or turn in xy."""
    if random.random() < 0.5:
        return np.rot90(voxels, int(random.integers(1, 4)), (1, 2))
    axes = [axis for axis in range(3) if voxels.shape[axis] > 1 and random.random() < 0.5]
    return np.flip(voxels, axes or [2])


def recoloured(voxels: Voxels, random: Random) -> Voxels:
    """Change gain, offset or gamma, go to 8 bits, or add noise."""
    low, high = np.percentile(voxels, (0.1, 99.9))
    span = max(float(high - low), 1.0)
    kind = random.integers(5)
    if kind == 0:
        return voxels * random.uniform(0.5, 2)
    if kind == 1:
        return voxels + (1 if random.random() < 0.3 else random.uniform(0.05, 0.5) * span)
    if kind == 2:
        unit = np.clip((voxels - low) / span, 0, 1)
        return unit ** random.uniform(0.75, 1.33) * span + low
    if kind == 3:
        return np.clip((voxels - low) / span * 255, 0, 255)
    return voxels + random.normal(0, random.uniform(0.005, 0.03) * span, voxels.shape)


def resampled(voxels: Voxels, random: Random) -> Voxels:
    """Change every axis by up to 10 %, or the step in z."""
    factors = random.uniform(0.9, 1.1, 3)
    if voxels.shape[0] >= 12 and random.random() < 0.5:
        factors = np.array([random.choice([0.5, 0.75, 1.5, 2.0]), 1.0, 1.0])
    if voxels.shape[0] < 4:
        factors[0] = 1.0
    return ndimage.zoom(voxels, factors, order=int(random.choice([1, 3])))


CHANGES: tuple[Callable[[Voxels, Random], Voxels], ...] = (cropped, turned, recoloured, resampled)


def changed(voxels: Voxels, random: Random) -> tuple[NDArray[np.uint16], str]:
    """Return the voxels after one to four changes, and which."""
    count = random.choice([1, 2, 3, 4], p=[0.2, 0.35, 0.3, 0.15])
    steps = [CHANGES[n] for n in random.permutation(len(CHANGES))[:count]]
    for step in steps:
        voxels = step(voxels, random).astype(np.float32)
    whole = np.clip(np.rint(voxels), 0, 65535).astype(np.uint16)
    return np.ascontiguousarray(whole), ", ".join(step.__name__ for step in steps)


def halves(voxels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two halves, along the longer side in xy, that share nothing."""
    axis = 2 if voxels.shape[2] >= voxels.shape[1] else 1
    first, second = np.array_split(voxels, 2, axis)
    return first, second


def photons(light: Voxels, random: Random) -> Whole:
    """Return a picture of light with noise of its own."""
    return np.minimum(random.poisson(np.maximum(light, 0)), 65535).astype(np.uint16)


def light_of(options: NucleiGenerator, seed: int) -> Voxels:
    """Return a drawn stack without most of its noise."""
    image = np.asarray(options.make(seed).image, np.float32)
    return ndimage.gaussian_filter(image * (400 / max(float(image.max()), 1.0)), 0.7)


def strangers(
    lights: list[Voxels], others: list[Whole], random: Random
) -> Iterator[tuple[str, Whole]]:
    """Give stacks that are no copy of any in the store."""
    while True:
        options = random_generator(random, SHAPES[random.integers(len(SHAPES))])
        yield "another stack", photons(light_of(options, int(random.integers(1 << 30))), random)
        light = lights[random.integers(len(lights))]
        step = (0, *random.uniform(-3, 3, 2))
        yield "a time point", photons(ndimage.shift(light, step, order=1, mode="nearest"), random)
        if others:
            yield "another half", others[random.integers(len(others))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stacks", nargs="*", type=Path)
    parser.add_argument("--copies", type=int, default=200)
    parser.add_argument("--strangers", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    random = np.random.default_rng(given.seed)
    lights = [
        light_of(random_generator(random, SHAPES[n % len(SHAPES)]), given.seed * 1000 + n)
        for n in range(SYNTHETIC)
    ]
    kept = [(f"s{n}", photons(light, random)) for n, light in enumerate(lights)]
    others = []
    for folder in given.stacks:
        mine, other = halves(tifffile.imread(folder / "image.tif"))
        kept.append((folder.name, mine))
        others.append(other)
    with tempfile.TemporaryDirectory() as place:
        store = AnnotationStore.create(Path(place) / "store")
        for name, voxels in kept:
            store.add_field(name, ArrayVolume(voxels))
        told = [str(copy) for copy in store.copies()]
        print(f"{len(kept)} fields; copies among them: {told or 'none'}", flush=True)
        measure_copies(store, kept, given.copies, random)
        measure_strangers(store, strangers(lights, others, random), given.strangers, random)


def measure_strangers(
    store: AnnotationStore, drawn: Iterator[tuple[str, Whole]], count: int, random: Random
) -> None:
    """Print the strangers that are taken for copies, and how many are not."""
    alarms = 0
    for number, (what, image) in zip(range(count), drawn, strict=False):
        how = "as it is"
        if random.random() < 0.5:
            image, how = changed(image.astype(np.float32), random)
        found = tried(store, image)
        alarms += bool(found)
        if found:
            print(f"taken for a copy: {number}, {what}, {how}: {'; '.join(found.values())}")
    print(f"strangers passed: {count - alarms} of {count}", flush=True)


def measure_copies(
    store: AnnotationStore, kept: list[tuple[str, Whole]], count: int, random: Random
) -> None:
    """Draw copies; print those that are missed, how many are found, and the time of each."""
    missed, seconds = 0, []
    for _ in range(count):
        name, voxels = kept[random.integers(len(kept))]
        image, how = changed(voxels.astype(np.float32), random)
        started = time.monotonic()
        found = tried(store, image)
        seconds.append(time.monotonic() - started)
        if name not in found:
            missed += 1
            print(f"missed: {name}, {how}, {image.shape}", flush=True)
    print(f"copies found: {count - missed} of {count}")
    print(
        f"median {np.median(seconds):.2f} s: add a field, look for copies, take it out", flush=True
    )


def tried(store: AnnotationStore, image: NDArray[np.uint16]) -> dict[str, str]:
    """Add a field, return which others it is said to be a copy of, and take it out again."""
    store.add_field("tried", ArrayVolume(image))
    found = {copy.other("tried").name: str(copy) for copy in store.copies("tried")}
    store.remove_field("tried")
    return found


if __name__ == "__main__":
    main()
