"""Measure what chunk shapes and codecs cost an annotation store: write, read, size, small edits.

    python -m scripts.measure_chunks 160 1024 1024 --objects 5000
    python -m scripts.measure_chunks 64 512 512 --objects 800 --chunks 16,128,128 --repeats 5

Labels are ellipsoids at random places, as many as asked for; the image is the same ellipsoids,
blurred by noise, in 16 bit. One row per chunk shape and codec, each the best of the repeats. Times
are of the processor, over all threads, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, ZstdCodec

from scripts.timing import folder_bytes
from scripts.volumes import Labels, Size, clipped, ellipsoid

CHUNKS = ("8,64,64", "16,128,128", "32,128,128", "16,256,256", "32,256,256")
CODECS: dict[str, Callable[[int], Any]] = {
    "zstd-3": lambda size: ZstdCodec(level=3),
    "blosc-zstd-1-shuffle": lambda size: _blosc("zstd", 1, "shuffle", size),
    "blosc-zstd-3-shuffle": lambda size: _blosc("zstd", 3, "shuffle", size),
    "blosc-zstd-3-bitshuffle": lambda size: _blosc("zstd", 3, "bitshuffle", size),
    "blosc-zstd-9-shuffle": lambda size: _blosc("zstd", 9, "shuffle", size),
    "blosc-lz4-5-shuffle": lambda size: _blosc("lz4", 5, "shuffle", size),
}
EDIT = 12
"""Voxels along each side of one edit."""


@dataclass(frozen=True)
class Cost:
    """What one chunk shape and codec cost, in processor seconds and bytes."""

    write_s: float
    read_s: float
    size: int
    edit_s: float
    growth: int
    commit_s: float


def _blosc(name: Any, level: int, shuffle: Any, size: int) -> BloscCodec:
    return BloscCodec(cname=name, clevel=level, shuffle=shuffle, typesize=size)


def ellipsoids(shape: Size, count: int, seed: int = 0) -> Labels:
    """Return labels of shape `shape` (Z, Y, X): `count` flat ellipsoids, later ones on top."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint32)
    for label in range(1, count + 1):
        radius = np.array([3, 8, 8]) * rng.uniform(0.7, 1.3, 3)
        center = rng.uniform(0, shape)
        box, distance = ellipsoid(shape, center, radius)
        labels[box][distance < 1] = label
    return labels


def noisy_image(labels: Labels, seed: int = 0) -> NDArray[np.uint16]:
    """Return an image of shape (Z, Y, X) in which the labels are bright, with shot noise."""
    rng = np.random.default_rng(seed)
    image = np.empty(labels.shape, np.uint16)
    for z, plane in enumerate(labels):
        image[z] = rng.normal(np.where(plane > 0, 900, 120), 40).clip(0)
    return image


def measure(values: NDArray[Any], chunk: tuple[int, ...], codec: Any, edits: int) -> Cost:
    """Write, read, and edit one array in a fresh repository on the local disk."""
    folder = Path(tempfile.mkdtemp(prefix="chunks-"))
    try:
        repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(folder)))
        session = repository.writable_session("main")
        start = time.process_time()
        array = zarr.create_array(
            session.store,
            name="values",
            shape=values.shape,
            dtype=values.dtype,
            chunks=clipped(chunk, values.shape),
            compressors=codec,
            fill_value=0,
        )
        for z in range(0, values.shape[0], chunk[0]):
            array[z : z + chunk[0]] = values[z : z + chunk[0]]
        session.commit("write")
        written = time.process_time()
        stored: Any = zarr.open_array(repository.readonly_session("main").store, path="values")
        for z in range(0, values.shape[0], chunk[0]):
            stored[z : z + chunk[0]]
        read = time.process_time()
        size = folder_bytes(folder)
        edit_s, commit_s = _edit(repository, values, edits)
        return Cost(
            written - start, read - written, size, edit_s, folder_bytes(folder) - size, commit_s
        )
    finally:
        shutil.rmtree(folder)


def _edit(repository: icechunk.Repository, values: NDArray[Any], edits: int) -> tuple[float, float]:
    rng = np.random.default_rng(1)
    session = repository.writable_session("main")
    array: Any = zarr.open_array(session.store, path="values", mode="r+")
    start = time.process_time()
    for _ in range(edits):
        corner = [int(rng.integers(0, max(1, s - EDIT))) for s in values.shape]
        box = tuple(slice(c, c + EDIT) for c in corner)
        array[box] = values[box] + 1
    edited = time.process_time()
    session.commit("edit")
    return edited - start, time.process_time() - edited


def best(costs: list[Cost]) -> Cost:
    """Return the least of each figure: what others did on the machine only ever adds."""
    names = Cost.__dataclass_fields__
    return Cost(**{name: min(getattr(cost, name) for cost in costs) for name in names})


def main(arguments: list[str] | None = None) -> None:
    """Print one Markdown table per array."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("shape", type=int, nargs=3, metavar=("Z", "Y", "X"))
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--edits", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--chunks", nargs="+", default=CHUNKS, metavar="Z,Y,X")
    parser.add_argument("--codecs", nargs="+", default=list(CODECS), choices=list(CODECS))
    parser.add_argument("--arrays", nargs="+", default=["labels", "image"])
    options = parser.parse_args(arguments)
    labels = ellipsoids(tuple(options.shape), options.objects)
    arrays: dict[str, NDArray[Any]] = {"labels": labels}
    if "image" in options.arrays:
        arrays["image"] = noisy_image(labels)
    for name in options.arrays:
        values = arrays[name]
        print(f"\n{name} {values.shape} {values.dtype}, best of {options.repeats}\n")
        print("| chunk | codec | write s | read s | MB | edits s | MB more | commit ms |")
        print("|---|---|---|---|---|---|---|---|")
        for chunk in options.chunks:
            shape = tuple(int(size) for size in chunk.split(","))
            for codec in options.codecs:
                made = CODECS[codec](values.itemsize)
                cost = best(
                    [measure(values, shape, made, options.edits) for _ in range(options.repeats)]
                )
                print(
                    f"| {chunk} | {codec} | {cost.write_s:.2f} | {cost.read_s:.2f} | "
                    f"{cost.size / 1e6:.1f} | {cost.edit_s:.2f} | {cost.growth / 1e6:.2f} | "
                    f"{cost.commit_s * 1e3:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    icechunk.set_logs_filter("error")
    main()
