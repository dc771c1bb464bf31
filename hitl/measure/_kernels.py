"""Compiled loops over slabs of labels; a module of its own so that numba loads only when used."""

from __future__ import annotations

from typing import Any

import numpy as np

from labels.compiled import compiled
from labels.kernels import find_ones, find_slot, grown

# Columns of the sums: voxels, coordinate sums, sums of products (zz, yy, xx, zy, zx, yx), each
# relative to the object's first voxel, so that they stay exact in 64 bits.
SUMS = 10


@compiled
def _position(ids: Any, wanted: Any) -> Any:
    """Return where `wanted` is in the sorted `ids`, -1 where it is not."""
    low, high = 0, ids.shape[0]
    while low < high:
        mid = (low + high) // 2
        if ids[mid] < wanted:
            low = mid + 1
        else:
            high = mid
    return low if low < ids.shape[0] and ids[low] == wanted else -1


@compiled
def rank_slab(labels: Any, ids: Any, ranks: Any) -> None:
    """Write 1 + the position in the sorted `ids` of each label, 0 for background and others."""
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            last = labels[z, y, 0]
            rank = np.int32(0)
            fresh = True
            for x in range(labels.shape[2]):
                v = labels[z, y, x]
                if fresh or v != last:
                    fresh = False
                    last = v
                    rank = np.int32(_position(ids, v) + 1) if v != 0 else np.int32(0)
                ranks[z, y, x] = rank


@compiled
def _add_run(sums: Any, boxes: Any, first: Any, o: Any, run: Any) -> None:
    z, y, a, b = run
    if sums[o, 0] == 0:
        for axis in range(3):
            first[o, axis] = run[axis]
            boxes[o, axis] = run[axis]
    boxes[o, 1] = min(boxes[o, 1], y)
    boxes[o, 2] = min(boxes[o, 2], a)
    boxes[o, 3] = z + 1
    boxes[o, 4] = max(boxes[o, 4], y + 1)
    boxes[o, 5] = max(boxes[o, 5], b)
    n = b - a
    dz = z - first[o, 0]
    dy = y - first[o, 1]
    low = a - first[o, 2]
    high = b - 1 - first[o, 2]
    sx = n * (low + high) // 2
    # The sum of squares from 0 to m, which holds for negative m too.
    sxx = (high * (high + 1) * (2 * high + 1) - (low - 1) * low * (2 * low - 1)) // 6
    sums[o, 0] += n
    sums[o, 1] += n * dz
    sums[o, 2] += n * dy
    sums[o, 3] += sx
    sums[o, 4] += n * dz * dz
    sums[o, 5] += n * dy * dy
    sums[o, 6] += sxx
    sums[o, 7] += n * dz * dy
    sums[o, 8] += dz * sx
    sums[o, 9] += dy * sx


@compiled
def add_moments(ranks: Any, z_first: Any, sums: Any, boxes: Any, first: Any) -> None:
    """Add the runs of a slab (padded by one voxel on all sides) to sums and bounding boxes."""
    nz, ny, nx = ranks.shape
    for i in range(1, nz - 1):
        z = z_first + i - 1
        for j in range(1, ny - 1):
            y = j - 1
            k = 1
            while k < nx - 1:
                r = ranks[i, j, k]
                if r == 0:
                    k += 1
                    continue
                start = k
                while k < nx - 1 and ranks[i, j, k] == r:
                    k += 1
                _add_run(sums, boxes, first, r - 1, (z, y, start - 1, k - 1))


@compiled
def _mark_mixed(r0: Any, r1: Any, r2: Any, r3: Any, mixed: Any) -> None:
    """Set mixed[k] where the 2 × 2 × 2 voxels from k on differ; branch-free, to become SIMD."""
    a, b, c, d = r0[1:], r1[1:], r2[1:], r3[1:]
    for k in range(a.shape[0]):
        v = r0[k]
        near = (v ^ r1[k]) | (v ^ r2[k]) | (v ^ r3[k])
        mixed[k] = (near | (v ^ a[k]) | (v ^ b[k]) | (v ^ c[k]) | (v ^ d[k])) != 0


@compiled
def _add_areas(v: Any, weights: Any, areas: Any) -> Any:
    """Add what 8 voxels are of the surface of each object in them; return how many objects."""
    met = 0
    for a in range(8):
        own = v[a]
        if own == 0:
            continue
        config = 0
        for b in range(7, -1, -1):
            config = 2 * config + (v[b] == own)
        if config & ((1 << a) - 1):
            continue  # an earlier voxel is of the same object
        met += 1
        areas[own - 1, 0] += weights[config, 0]
        areas[own - 1, 1] += weights[config, 1]
    return met


@compiled
def add_surfaces(
    ranks: Any, z_from: Any, weights: Any, areas: Any, keys: Any, stats: Any, used: Any
) -> Any:
    """Add the area of each 2 × 2 × 2 neighbourhood of voxels, and note which objects meet in it.

    `ranks` is padded by one voxel; neighbourhoods begin at its slices from `z_from` on. `keys`
    and `stats` are a table of (smaller, larger rank) with one column.
    """
    nz, ny, nx = ranks.shape
    v = np.zeros(8, np.int32)
    mixed = np.zeros((nx + 7) // 8 * 8, np.uint8)
    places = np.zeros(mixed.shape[0] + 1, np.int64)
    for i in range(z_from, nz - 1):
        for j in range(ny - 1):
            r0, r1, r2, r3 = ranks[i, j], ranks[i, j + 1], ranks[i + 1, j], ranks[i + 1, j + 1]
            _mark_mixed(r0, r1, r2, r3, mixed)
            for n in range(find_ones(mixed, places)):
                k = places[n]
                v[0], v[1], v[2], v[3] = r0[k], r0[k + 1], r1[k], r1[k + 1]
                v[4], v[5], v[6], v[7] = r2[k], r2[k + 1], r3[k], r3[k + 1]
                if _add_areas(v, weights, areas) < 2:
                    continue
                if 2 * (used + 28) > keys.shape[0]:
                    keys, stats = grown(keys, stats)
                for a in range(7):
                    for b in range(a + 1, 8):
                        p, q = np.uint64(min(v[a], v[b])), np.uint64(max(v[a], v[b]))
                        if p == 0 or p == q:
                            continue
                        slot = find_slot(keys, stats, p, q)
                        used += stats[slot, 0] == 0
                        keys[slot, 0] = p
                        keys[slot, 1] = q
                        stats[slot, 0] = 1
    return keys, stats, used


@compiled
def _mark_boundary(here: Any, up: Any, down: Any, north: Any, south: Any, flags: Any) -> Any:
    """Set flags[k] where voxel k + 1 is an object's and has another face neighbour; count them."""
    west, east = here[:-2], here[2:]
    total: Any = 0
    for k in range(west.shape[0]):
        v = here[k + 1]
        beside = (v ^ west[k]) | (v ^ east[k]) | (v ^ north[k + 1]) | (v ^ south[k + 1])
        flag = np.uint8(((beside | (v ^ up[k + 1]) | (v ^ down[k + 1])) != 0) & (v != 0))
        flags[k] = flag
        total += flag
    return total


@compiled
def mark_boundary(ranks: Any, flags: Any) -> Any:
    """Set flags (dz, Y, X rounded up to 8) at boundary voxels of a padded slab; count them."""
    total = 0
    for i in range(1, ranks.shape[0] - 1):
        for j in range(1, ranks.shape[1] - 1):
            total += _mark_boundary(
                ranks[i, j], ranks[i - 1, j], ranks[i + 1, j], ranks[i, j - 1], ranks[i, j + 1],
                flags[i - 1, j - 1],
            )  # fmt: skip
    return total


@compiled
def collect_boundary(
    ranks: Any, flags: Any, z_first: Any, counts: Any, owner: Any, points: Any
) -> None:
    """Write rank and (z, y, x) of the flagged voxels, and count them for each object."""
    n = 0
    places = np.zeros(flags.shape[2] + 1, np.int64)
    for i in range(flags.shape[0]):
        for j in range(flags.shape[1]):
            for m in range(find_ones(flags[i, j], places)):
                k = places[m]
                o = ranks[i + 1, j + 1, k + 1] - 1
                owner[n] = o
                counts[o] += 1
                points[n, 0] = z_first + i
                points[n, 1] = j
                points[n, 2] = k
                n += 1


@compiled
def group_points(owner: Any, points: Any, fill: Any, grouped: Any) -> None:
    """Put points where their owner's group goes on; `fill` holds the next free row of each."""
    for n in range(owner.shape[0]):
        o = owner[n]
        row = fill[o]
        fill[o] += 1
        for axis in range(3):
            grouped[row, axis] = points[n, axis]


@compiled
def row_ends(ranks: Any, first: Any, last: Any) -> None:
    """Write for each row of a padded slab where its objects begin and end; -1 where none are."""
    for i in range(1, ranks.shape[0] - 1):
        for j in range(1, ranks.shape[1] - 1):
            row = ranks[i, j]
            low, high = 1, row.shape[0] - 2
            while low <= high and row[low] == 0:
                low += 1
            while high > low and row[high] == 0:
                high -= 1
            first[i - 1, j - 1] = low - 1 if low <= high else -1
            last[i - 1, j - 1] = high - 1 if low <= high else -1


@compiled
def gather(labels: Any, image: Any, ids: Any, fill: Any, values: Any) -> None:
    """Copy the values under each of the sorted `ids` to where its group goes on in `values`."""
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            x = 0
            while x < labels.shape[2]:
                v = labels[z, y, x]
                start = x
                while x < labels.shape[2] and labels[z, y, x] == v:
                    x += 1
                if v == 0:
                    continue
                place = _position(ids, v)
                if place < 0:
                    continue
                row = fill[place]
                for k in range(start, x):
                    values[row + k - start] = image[z, y, k]
                fill[place] = row + x - start


@compiled
def _percentile(values: Any, share: Any) -> Any:
    """NumPy's linear interpolation between the order statistics of sorted values."""
    place = share * (values.shape[0] - 1)
    low = int(np.floor(place))
    t = place - low
    a = np.float64(values[low])
    b = np.float64(values[min(low + 1, values.shape[0] - 1)])
    return b - (b - a) * (1 - t) if t >= 0.5 else a + (b - a) * t


@compiled
def describe(values: Any, starts: Any, shares: Any, out: Any) -> None:
    """Write statistics of each group of sorted values.

    Columns: sum, mean, std, min, max, entropy, skewness, kurtosis, then the percentiles.
    """
    for g in range(starts.shape[0] - 1):
        part = values[starts[g] : starts[g + 1]]
        n = part.shape[0]
        total = 0.0
        for v in part:
            total += np.float64(v)
        mean = total / n
        m2, m3, m4 = 0.0, 0.0, 0.0
        entropy = 0.0
        run = 0
        for i in range(n):
            d = np.float64(part[i]) - mean
            m2 += d * d
            m3 += d * d * d
            m4 += d * d * d * d
            run += 1
            if i == n - 1 or part[i + 1] != part[i]:
                p = run / n
                entropy -= p * np.log2(p)
                run = 0
        m2, m3, m4 = m2 / n, m3 / n, m4 / n
        varies = part[0] != part[n - 1] and m2 > 0
        out[g, 0] = total
        out[g, 1] = mean
        out[g, 2] = np.sqrt(m2) if varies else 0.0
        out[g, 3] = np.float64(part[0])
        out[g, 4] = np.float64(part[n - 1])
        out[g, 5] = max(entropy, 0.0)
        out[g, 6] = m3 / m2**1.5 if varies else 0.0
        out[g, 7] = m4 / (m2 * m2) - 3.0 if varies else 0.0
        for q in range(shares.shape[0]):
            out[g, 8 + q] = _percentile(part, shares[q])
