"""Time a correction round of 100 objects in a big field: its commit, its import and its diff.

Run it from the repository's root: ``python -m scripts.bench_rounds``.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from scipy import ndimage

from annotations.differences import diff_rounds
from annotations.formats import open_image, write_image_tiff, write_labels_tiff
from annotations.layout import FULL, VERIFIED, child_array
from annotations.objects import ObjectTable, Status
from annotations.rounds import ModelRef, RoundInfo
from annotations.store import AnnotationStore
from hitl.labelling.exchange.importing import ImportRequest, import_labels
from hitl.project.config import ProjectConfig
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from hitl.review.session.commit import commit_session
from hitl.review.session.project_session import ProjectSession
from hitl.review.session.review_session import ReviewSession
from scripts.timing import Row, folder_bytes, print_rows, row, timed_with_mb, times
from scripts.volumes import GRID, SHAPE, Labels, Size, synthetic_labels

SPACING_UM = (1.0, 0.5, 0.5)
EDITED = 100
LIMIT_SECONDS = 2
IMPORTS = 3
FIELD = "s"

Figures = defaultdict[str, list[Any]]
"""What was measured at one size of field, by name: one value per round."""


def bench(repeats: int = 5, *, shape: Size = SHAPE, grid: Size = GRID) -> list[Row]:
    """Return a row each for commit, going on after it, diff and import, and rows for memory.

    Each size of field has a process of its own, so that one's memory is not the other's.

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
    what = f"round of {EDITED} objects, {times(shape)}"
    limit = f"< {LIMIT_SECONDS} s"
    grown, stored, chunks = (statistics.median(large[key]) for key in ("grown", "stored", "chunks"))
    changed = f"{chunks:.0f} changed chunks of {stored / 1e6:.2f} MB"
    fewer = f"round of {EDITED} objects, {times(half)}"
    no_more = f"{times(shape)} takes no more MB"
    return [
        _row(f"{what}: commit", large, "commit", limit),
        _row(f"{what}: diff", large, "diff", limit),
        _row(f"{what}: window goes on", large, "reload"),
        _row(f"{what}: import of a TIFF", large, "imports"),
        row(f"{what}: store grows by {grown / 1e6:.2f} MB", None, limit=changed),
        _row(f"{fewer}: commit", small, "commit", no_more),
        _row(f"{fewer}: diff", small, "diff", no_more),
    ]


def measure(shape: Size, grid: Size, repeats: int) -> Figures:
    """Commit, compare and import rounds in one field.

    Raises
    ------
    RuntimeError
        A round has not the edits that were made.
    """
    figures: Figures = defaultdict(list)
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
    """Make a project with one field whose labels a model proposed."""
    project = Project.create(folder, ProjectConfig())
    store = project.store(read_only=False)
    image = folder / "image.tif"
    write_image_tiff(image, (labels > 0) * np.uint8(200), SPACING_UM)
    with open_image(image) as source:
        store.add_field(FIELD, source)
    image.unlink()
    ids = np.flatnonzero(np.bincount(labels.ravel()))[1:]
    objects = ObjectTable.make(ids, status=Status.PROPOSED, origin="model:m")
    info = RoundInfo(kind="bootstrap", message="m", author="m", model=ModelRef(name="m"))
    with store.begin_round(info) as txn:
        txn.set_labels(FIELD, labels, objects)
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
    with ProjectSession.open(project, FIELD, annotator="ann") as opened:
        for number in range(1, repeats + 2):
            if number == 2:
                # The first round loaded compiled code.
                figures.clear()
            edit(opened.session, next(turns))
            size = folder_bytes(project.folder)
            commit = partial(commit_session, annotator="ann", base=opened.base)
            _measure(figures, "commit", partial(commit, store, FIELD, opened.session))
            figures["grown"].append(folder_bytes(project.folder) - size)
            chunks, stored = _changed(store, number)
            figures["chunks"].append(chunks)
            figures["stored"].append(stored)
            _measure(figures, "diff", partial(_check, project, number))
            _measure(figures, "reload", opened.begin_again)


def _check(project: Project, number: int) -> None:
    """Compare a round with the one before."""
    (field,) = diff_rounds(project.store(), number - 1, number).fields
    counts = field.counts()
    expected = (EDITED // 5,) * 5
    found = (counts.accepted, counts.deleted, counts.split, counts.merged, counts.reshaped)
    if found != expected:
        raise RuntimeError(f"round {number}: expected {expected} edits of each kind, got {found}")


def _imports(project: Project, turns: Iterator[list[int]], file: Path, figures: Figures) -> None:
    for _ in range(IMPORTS):
        labels = np.asarray(project.store().labels(FIELD).labels[...], np.uint32)
        present = set(np.flatnonzero(np.bincount(labels.ravel())).tolist())
        edit_array(labels, [i for i in next(turns) if i in present])
        write_labels_tiff(file, labels, SPACING_UM, overwrite=True)
        del labels
        request = ImportRequest(field=FIELD, file=file, annotator="bob")
        _measure(figures, "imports", partial(import_labels, project, request, Silent()))


def _changed(store: AnnotationStore, number: int) -> tuple[int, int]:
    """Return how many chunks a round wrote, and their bytes as they are stored."""
    older, newer = (store.round_snapshot(n) for n in (number - 1, number))
    view = store.labels(FIELD, round=number)
    chunks = stored = 0
    written = store.changes_between(older, newer)
    for name in (FULL, VERIFIED):
        array = child_array(view.group, name)
        for index in written.chunks(array.path):
            chunks += 1
            stored += _encoded_bytes(array, index)
    return chunks, stored


def _encoded_bytes(array: zarr.Array[Any], index: tuple[int, ...]) -> int:
    """Return the size of a chunk when it is encoded as its array does."""
    place = tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, array.chunks, strict=True))
    kept: dict[str, Any] = {}
    zarr.create_array(
        zarr.storage.MemoryStore(kept),
        data=np.asarray(array[place]),
        chunks=array.chunks,
        compressors=array.compressors,
        filters=array.filters,
    )
    return sum(len(data) for key, data in kept.items() if not key.endswith("zarr.json"))


def _measure(figures: Figures, name: str, work: Callable[[], Any]) -> None:
    seconds, memory, _ = timed_with_mb(work)
    figures[name].append(seconds)
    figures[f"{name} MB"].append(memory)


def _apart(shape: Size, grid: Size, repeats: int) -> Figures:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(measure, shape, grid, repeats).result()


def _row(name: str, figures: Figures, key: str, limit: str = "") -> Row:
    """Return a row of the median seconds, with the first round's memory where there is a limit."""
    seconds = figures[key]
    memory = figures[f"{key} MB"][0] if limit else None
    return row(name, statistics.median(seconds) if seconds else None, limit=limit, memory_mb=memory)


if __name__ == "__main__":
    print_rows(bench)
