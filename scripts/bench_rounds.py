"""Time a correction round of 100 objects in a big stack: its commit, its import and its diff.

Run it from the repository's root: ``python -m scripts.bench_rounds``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import NDArray
from scipy import ndimage

from annotations.differences import diff_rounds
from annotations.formats.tiff_write import write_labels_tiff
from annotations.objects import ObjectTable, Status
from annotations.rounds import ModelRef, RoundInfo
from annotations.stacks import LABELS, VERIFIED, StackView
from annotations.store import AnnotationStore
from annotations.volume import ImageInfo
from hitl.labelling.exchange.importing import ImportRequest, import_labels
from hitl.project.config import ProjectConfig
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from hitl.review.session.commit import commit_session
from hitl.review.session.project_session import ProjectSession
from hitl.review.session.review_session import ReviewSession
from scripts.bench import print_table
from scripts.bench_metrics import GRID, SHAPE, synthetic_labels
from scripts.timing import extra_mb, row, timed

SPACING_UM = (1.0, 0.5, 0.5)
EDITED = 100
LIMIT_SECONDS = 2
IMPORTS = 3
STACK = "s"

Labels = NDArray[np.uint32]
Size = tuple[int, int, int]


@dataclass(frozen=True)
class Figures:
    """What was measured at one size of stack; seconds per repeat."""

    commit: list[float] = field(default_factory=list)
    reload: list[float] = field(default_factory=list)
    diff: list[float] = field(default_factory=list)
    imports: list[float] = field(default_factory=list)
    memory_mb: dict[str, float | None] = field(default_factory=dict)
    grown_bytes: list[int] = field(default_factory=list)
    chunk_bytes: list[int] = field(default_factory=list)
    chunks: list[int] = field(default_factory=list)

    def clear(self) -> None:
        """Forget everything."""
        for values in vars(self).values():
            values.clear()


class ArrayImage:
    """An image in memory as a source of a stack."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self._image = image[None]
        self.info = ImageInfo(
            path=Path("synthetic.npy"),
            shape=self._image.shape,
            dtype=image.dtype,
            spacing_um=SPACING_UM,
            channels=("nuclei",),
            format="npy",
        )

    def read(self, z_start: int, z_stop: int) -> NDArray[np.uint8]:
        """Return voxels of shape (1, z_stop - z_start, Y, X)."""
        return self._image[:, z_start:z_stop]

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def bench(repeats: int = 5, *, shape: Size = SHAPE, grid: Size = GRID) -> list[dict[str, Any]]:
    """Return a row each for commit, going on after it, diff and import, and rows for memory.

    Each size of stack has a process of its own, so that one's memory is not the other's.

    Raises
    ------
    ValueError
        Too few objects for so many rounds.
    RuntimeError
        A round has not the edits that were made.
    """
    half = (shape[0], shape[1] // 2, shape[2] // 2)
    few = (grid[0], grid[1] // 2, grid[2] // 2)
    large, small = _apart(shape, grid, repeats), _apart(half, few, 1)
    what = f"round of {EDITED} objects, {_times(shape)}"
    limit = f"< {LIMIT_SECONDS} s"
    written, least = (statistics.median(b) / 1e6 for b in (large.grown_bytes, large.chunk_bytes))
    rows = [
        _row(f"{what}: commit", large.commit, limit, large.memory_mb["commit"]),
        _row(f"{what}: diff", large.diff, limit, large.memory_mb["diff"]),
        _row(f"{what}: window goes on", large.reload),
        _row(f"{what}: import of a TIFF", large.imports),
        row(
            f"{what}: store grows by {written:.2f} MB",
            None,
            limit=f"{statistics.median(large.chunks):.0f} changed chunks of {least:.2f} MB",
        ),
    ]
    for key in ("commit", "diff"):
        name = f"round of {EDITED} objects, {_times(half)}: {key}"
        at_most = f"{_times(shape)} takes no more MB"
        rows.append(_row(name, getattr(small, key), at_most, small.memory_mb[key]))
    return rows


def measure(shape: Size, grid: Size, repeats: int) -> Figures:
    """Commit, compare and import rounds in one stack.

    Raises
    ------
    RuntimeError
        A round has not the edits that were made.
    """
    figures = Figures()
    objects, rounds = int(np.prod(grid)), 1 + repeats + IMPORTS * (repeats > 1)
    if objects < 3 * EDITED * rounds + 3:
        raise ValueError(
            f"expected more than {3 * EDITED * rounds + 2} objects for {rounds} rounds, got "
            f"{objects}; ask for fewer repeats"
        )
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder) / "project", synthetic_labels(shape, grid))
        turns = _turns(objects)
        _rounds(project, turns, repeats, figures)
        if repeats > 1:
            _imports(project, turns, Path(folder) / "labels.tif", figures)
    return figures


def make_project(folder: Path, labels: Labels) -> Project:
    """Make a project with one stack whose labels a model proposed."""
    project = Project.create(folder, ProjectConfig())
    store = project.store(read_only=False)
    store.add_stack(STACK, ArrayImage((labels > 0) * np.uint8(200)))
    ids = np.flatnonzero(np.bincount(labels.ravel()))[1:]
    objects = ObjectTable.make(ids, status=Status.PROPOSED, origin="model:m")
    info = RoundInfo(kind="bootstrap", message="m", author="m", model=ModelRef(name="m"))
    with store.begin_round(info) as txn:
        txn.set_labels(STACK, labels, objects)
    return project


def edit(session: ReviewSession, ids: list[int]) -> None:
    """Accept, delete, split, merge and reshape a fifth of the objects each."""
    for number, object_id in enumerate(ids):
        match number % 5:
            case 0:
                session.accept(object_id)
            case 1:
                session.reject(object_id)
            case 2:
                box = session.boxes[object_id]
                inside = np.argwhere(session.labels[box] == object_id)
                inside = inside[np.argsort(inside[:, 2], kind="stable")]
                session.split(object_id, inside[[0, -1]] + [part.start for part in box])
            case 3:
                session.merge(object_id, object_id + 1)
            case 4:
                box = session.boxes[object_id]
                values = session.labels[box].copy()
                values[:, :, -2:][values[:, :, -2:] == object_id] = 0
                session.paint(values, box)


def edit_array(labels: Labels, ids: list[int]) -> None:
    """Delete, split, merge and reshape a quarter of the objects each, as another tool would."""
    new = int(labels.max())
    boxes = ndimage.find_objects(labels)
    for number, object_id in enumerate(ids):
        block = labels[boxes[object_id - 1]]
        own = block == object_id
        middle = block.shape[2] // 2
        match number % 4:
            case 0:
                block[own] = 0
            case 1:
                new += 1
                block[:, :, middle:][own[:, :, middle:]] = new
            case 2:
                block[own] = object_id + 1
            case 3:
                block[:, :, -2:][own[:, :, -2:]] = 0


def _turns(objects: int) -> Iterator[list[int]]:
    """Yield ids of objects for each round; the next id is that of a neighbour, never chosen too."""
    ids = np.random.default_rng(0).permutation(np.arange(1, objects - 1, 3))
    for start in range(0, len(ids) - EDITED + 1, EDITED):
        yield ids[start : start + EDITED].tolist()


def _rounds(project: Project, turns: Iterator[list[int]], repeats: int, figures: Figures) -> None:
    store = project.store(read_only=False)
    with ProjectSession.open(project, STACK, annotator="ann") as opened:
        for number in range(1, repeats + 2):
            if number == 2:
                # The first round loaded compiled code.
                figures.clear()
            edit(opened.session, next(turns))
            size = _size(project.folder)
            commit = partial(commit_session, annotator="ann", base=opened.base)
            seconds, memory = _timed(partial(commit, store, STACK, opened.session))
            figures.commit.append(seconds)
            figures.memory_mb.setdefault("commit", memory)
            figures.grown_bytes.append(_size(project.folder) - size)
            chunks, stored = _changed(store, number)
            figures.chunks.append(chunks)
            figures.chunk_bytes.append(stored)
            seconds, memory = _timed(partial(_check, project, number))
            figures.diff.append(seconds)
            figures.memory_mb.setdefault("diff", memory)
            figures.reload.append(_timed(opened.begin_again)[0])


def _check(project: Project, number: int) -> None:
    """Compare a round with the one before."""
    (stack,) = diff_rounds(project.store(), number - 1, number).stacks
    counts = stack.counts()
    expected = (EDITED // 5,) * 5
    found = (counts.accepted, counts.deleted, counts.split, counts.merged, counts.reshaped)
    if found != expected:
        raise RuntimeError(f"round {number}: expected {expected} edits of each kind, got {found}")


def _imports(project: Project, turns: Iterator[list[int]], file: Path, figures: Figures) -> None:
    for _ in range(IMPORTS):
        labels = np.asarray(project.store().stack(STACK).labels[...], np.uint32)
        present = set(np.flatnonzero(np.bincount(labels.ravel())).tolist())
        edit_array(labels, [i for i in next(turns) if i in present])
        write_labels_tiff(file, labels, SPACING_UM, overwrite=True)
        del labels
        request = ImportRequest(stack=STACK, file=file, annotator="bob")
        seconds, _ = _timed(partial(import_labels, project, request, Silent()))
        figures.imports.append(seconds)


def _changed(store: AnnotationStore, number: int) -> tuple[int, int]:
    """Return how many chunks a round wrote, and their bytes as they are stored."""
    older, newer = (store.round_snapshot(n) for n in (number - 1, number))
    view = store.stack(STACK, round=number)
    chunks = stored = 0
    for name, array in ((LABELS, view.labels), (VERIFIED, view.verified)):
        for index in store.changed_chunks(STACK, name, older, newer) or ():
            chunks += 1
            stored += _encoded_bytes(view, array, index)
    return chunks, stored


def _encoded_bytes(view: StackView, array: zarr.Array[Any], index: tuple[int, ...]) -> int:
    """Return the size of a chunk when it is encoded as its array does."""
    place = tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, array.chunks, strict=True))
    values = np.asarray(array[place])
    kept: dict[str, Any] = {}
    alone = zarr.create_array(
        zarr.storage.MemoryStore(kept),
        shape=values.shape,
        chunks=array.chunks,
        dtype=array.dtype,
        compressors=array.compressors,
        filters=array.filters,
    )
    alone[...] = values
    return sum(len(data) for key, data in kept.items() if not key.endswith("zarr.json"))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _timed(work: Callable[[], Any]) -> tuple[float, float | None]:
    """Return seconds, and the peak of the process's memory above where it began, in MB."""
    seconds: list[float] = []
    memory = extra_mb(lambda: seconds.append(timed(work)[0]))
    return seconds[0], memory


def _apart(shape: Size, grid: Size, repeats: int) -> Figures:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(measure, shape, grid, repeats).result()


def _row(
    name: str, seconds: list[float], limit: str = "", memory_mb: float | None = None
) -> dict[str, Any]:
    median = statistics.median(seconds) if seconds else None
    return row(name, median, limit=limit, memory_mb=memory_mb)


def _times(shape: Size) -> str:
    return "×".join(map(str, shape))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=SHAPE, metavar=("Z", "Y", "X"))
    parser.add_argument("--grid", type=int, nargs=3, default=GRID, help="objects along z, y, x")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    print_table(bench(given.repeats, shape=tuple(given.shape), grid=tuple(given.grid)))


if __name__ == "__main__":
    main()
