"""Rounds that people and models make of a small series of two classes, each drawn as words."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import zarr
from hypothesis import strategies as st
from numpy.typing import NDArray

from annotations.errors import ConflictError
from annotations.fields import ClassInfo
from annotations.formats import write_labels_tiff
from annotations.rounds import ModelRef
from hitl.labelling.exchange.errors import NothingChangedError
from hitl.labelling.exchange.export import export
from hitl.labelling.exchange.importing import import_labels
from hitl.labelling.proposals import TimedSegmentation, commit_proposals
from hitl.labelling.requests import ImportRequest
from hitl.labelling.rollback import rollback
from hitl.prediction.predict import Predictor
from hitl.project.config import ProjectConfig
from hitl.project.errors import NothingToDoError
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from hitl.review.errors import ReviewError
from hitl.review.session.project_session import ProjectSession
from models.base import Segmentation
from tests.annotations.formats.exchange_labels import save_labkit
from tests.annotations.store_sources import SPACING_UM, ArraySource, noise

Labels = NDArray[np.uint32]

TIMES, ZYX = 2, (3, 6, 260)
"""Two chunks in x at each time point."""

CLASSES = ("nuclei", "golgi")
OPS = ("add", "delete", "grow", "shrink", "split", "merge", "split and merge", "paint")
FORMATS = ("npy", "tiff", "labkit", "ome-zarr")
"""Those that hold several time points."""

PLACES = [np.s_[:, y : y + 3, x : x + 5] for y in (0, 3) for x in (0, 5, 12, 246, 251, 254)]
"""Some of them meet, and some reach across both chunks."""

BOOTSTRAP = ("bootstrap", "model:classical", "classical")
"""Kind, author and model of the first round."""

Op = tuple[str, int, int]
Step = tuple[str, Any]


def ops() -> st.SearchStrategy[list[Op]]:
    number = st.integers(0, 40)
    return st.lists(st.tuples(st.sampled_from(OPS), number, number), min_size=1, max_size=4)


@st.composite
def steps(draw: st.DrawFn) -> Step:
    """One round: what makes it, and everything that it needs to know."""
    kind = draw(st.sampled_from(sorted(MAKERS)))
    about = {
        "name": f"s:{draw(st.sampled_from([*CLASSES, CLASSES[0]]))}",
        "ops": draw(ops()),
        "number": draw(st.integers(0, 40)),
        "yes": draw(st.booleans()),
        "format": draw(st.sampled_from(FORMATS)),
    }
    return kind, about


@dataclass
class World:
    """A project, and who made each of its rounds: (kind of round, author, model)."""

    project: Project
    folder: Path
    made: list[tuple[str, str, str | None]] = field(default_factory=list)
    told: dict[int, dict[str, Any]] = field(default_factory=dict)
    """What the command that made a round said of it."""
    refused: list[str] = field(default_factory=list)
    _files: Iterator[int] = field(default_factory=count)

    def planes(self, name: str, round: int | None = None) -> Labels:
        """Labels (T, Z, Y, X) of a class."""
        found = self.project.store().labels(name, round).labels[...]
        return np.array(found, np.uint32).reshape(TIMES, *ZYX)

    @property
    def rounds(self) -> int:
        return len(self.made)

    def file(self, suffix: str) -> Path:
        return self.folder / f"{next(self._files)}{suffix}"

    @contextmanager
    def round(self, kind: str, author: str, model: str | None = None) -> Iterator[None]:
        """Note a round where one is made; what is refused must leave the store as it is."""
        head = self.project.store().head()
        refusals = (NothingChangedError, NothingToDoError, ConflictError, ReviewError)
        try:
            yield
            self.made.append((kind, author, model))
        except refusals as error:
            assert self.project.store().head() == head
            self.refused.append(f"{kind}: {error}")


def new_world(folder: Path, template: Path) -> World:
    """A project of two classes at two time points, and its bootstrapped proposals."""
    if not template.exists():
        project = Project.create(template, ProjectConfig())
        classes = tuple(ClassInfo(name=each) for each in CLASSES)
        image = noise((TIMES, 1, *ZYX), "uint8")  # type: ignore[arg-type]
        project.store(read_only=False).add_field("s", ArraySource(image), classes=classes)
        first_round(World(project, folder))
    shutil.copytree(template, folder / "project")
    return World(Project.open(folder / "project"), folder, [BOOTSTRAP])


# What is done to labels ------------------------------------------------------------------------


def edited(labels: Labels, done: list[Op]) -> Labels:
    """Return labels (T, Z, Y, X) after some edits, each at one time point."""
    out = labels.copy()
    for op, one, other in done:
        time, place = one % len(out), PLACES[other % len(PLACES)]
        ids = [int(i) for i in np.unique(out[time]) if i]
        if op in ("add", "paint"):
            out[time][place] = out.max() + 1 if op == "add" else one % (out.max() + 3)
        elif ids:
            _edit(out[time], op, ids[other % len(ids)], ids[one % len(ids)], int(out.max()) + 1)
    return out


def _edit(labels: Labels, op: str, a: int, b: int, new: int) -> None:
    z, y, x = np.nonzero(labels == a)
    left = (labels == a) & (np.arange(labels.shape[2]) <= np.median(x))
    if op == "delete":
        labels[labels == a] = 0
    elif op == "grow":
        around = labels[z.min() : z.max() + 1, y.min() : y.max() + 2, x.min() : x.max() + 3]
        around[around == 0] = a
    elif op == "shrink":
        labels[(labels == a) & (np.arange(labels.shape[2]) == x.min())] = 0
    elif op == "split":
        labels[left] = new
    elif op == "merge":
        labels[labels == b] = a
    else:
        labels[left] = new
        labels[labels == b] = a


def renumbered(labels: Labels, seed: int) -> Labels:
    """The same objects under other ids."""
    ids = np.unique(labels)
    others = np.random.default_rng(seed).permutation(np.arange(1, ids.size + 3))[: ids.size]
    others[ids == 0] = 0
    return others[np.searchsorted(ids, labels)].astype(np.uint32)


# What makes rounds -----------------------------------------------------------------------------


def save(world: World, file: Path, name: str, labels: Labels) -> None:
    """Write labels as the tool of a format does."""
    planes = labels.reshape(-1, *labels.shape[2:])
    if name == "npy":
        np.save(file, labels)
    elif name == "labkit":
        save_labkit(file, planes, TIMES)
    else:
        write_labels_tiff(file, planes, SPACING_UM, times=TIMES, overwrite=True)


def by_import(world: World, about: dict[str, Any], labels: Labels | None = None) -> None:
    """A person saves corrected labels, of no known origin, with ids as they were or any."""
    fmt = "npy" if about["format"] == "npy" else "tiff"
    file = world.file({"npy": ".npy"}.get(fmt, ".tif"))
    if labels is None:
        labels = edited(world.planes(about["name"]), about["ops"])
        labels = renumbered(labels, about["number"]) if about["yes"] else labels
    save(world, file, fmt, labels)
    send_in(world, about, file, "ann")


def send_in(world: World, about: dict[str, Any], file: Path, who: str) -> None:
    request = ImportRequest(
        field=about["name"],
        file=file,
        annotator=who,
        yes=True,
        verified="all" if about["number"] % 5 == 0 else "changed",
    )
    with world.round("import", who):
        told = import_labels(world.project, replace(request, dry_run=True), Silent())
        done = import_labels(world.project, request, Silent())
        assert (told.round, told.counts) == (done.round, done.counts)
        world.told[done.round] = {about["name"]: done.counts}


def by_reversal(world: World, about: dict[str, Any]) -> None:
    """A person takes back what the last rounds did, by the labels of an earlier one."""
    number = about["number"] % world.rounds
    by_import(world, about, world.planes(about["name"], number))


def by_older_export(world: World, about: dict[str, Any]) -> None:
    """Somebody corrects an export of an earlier round: it is merged, or refused."""
    number = max(0, world.rounds - 1 - about["number"] % 3)
    name, folder = about["name"], world.file("")
    fmt = "ome-zarr" if about["format"] == "npy" else about["format"]
    try:
        sent = export(world.project, name, folder, fmt, number, Silent())
    except NothingToDoError:
        return
    file = Path(sent.labels)
    labels = edited(world.planes(name, number), about["ops"])
    if fmt == "ome-zarr":
        inner = zarr.open_group(file / "labels" / "objects", mode="r+")
        inner["0"][...] = labels  # type: ignore[index]
    else:
        save(world, file, fmt, labels)
    send_in(world, about, file, "bob")


def by_session(world: World, about: dict[str, Any]) -> None:
    """A person works in the window at one time point."""
    time = about["number"] % TIMES
    with (
        ProjectSession.open(world.project, about["name"], annotator="cleo", time=time) as opened,
        world.round("correct", "cleo"),
    ):
        session = opened.session
        for op, one, other in about["ops"]:
            ids = session.boxes.ids
            if not ids:
                continue
            a, b = ids[one % len(ids)], ids[other % len(ids)]
            with suppress(ReviewError):
                if op == "add":
                    session.accept(a)
                elif op == "delete":
                    session.reject(a)
                elif op == "merge":
                    session.merge(a, b)
                elif op == "split":
                    where = np.argwhere(session.labels == a)
                    session.split(a, where[[0, -1]])
                elif op == "paint":
                    session.check_slice(one % ZYX[0])
                else:
                    session.paint(edited(session.labels[None], [(op, one, other)])[0])
                if other % 7 == 0:
                    session.undo()
        done = opened.commit()
        world.told[done.round] = {about["name"]: done.summary.counts}
    opened.draft_file.unlink(missing_ok=True)


@dataclass(frozen=True)
class Model:
    """What a round is told of the model that made it."""

    name: str

    def reference(self) -> ModelRef:
        return ModelRef(name=self.name, weights_sha256=f"{len(self.name):064x}")


def by_model(world: World, about: dict[str, Any]) -> None:
    """A model proposes what is there with some differences, under numbers of its own."""
    found = edited(world.planes(about["name"]), about["ops"])
    each = [renumbered(labels, about["number"]) for labels in found]
    name = ("unet", "stardist")[about["number"] % 2]
    propose(world, "propose", name, {about["name"]: each}, 0.25 if about["yes"] else 0.5)


def propose(
    world: World,
    kind: Literal["bootstrap", "propose"],
    name: str,
    found: dict[str, list[Labels]],
    sure: float,
) -> None:
    proposals = {
        field: TimedSegmentation(
            tuple(Segmentation(one, {int(i): sure for i in np.unique(one) if i}) for one in each),
            0.0,
        )
        for field, each in found.items()
    }
    model = cast("Predictor", Model(name))
    with world.round(kind, f"model:{name}", name):
        done = commit_proposals(world.project, kind, f"{kind} with {name}", model, proposals)
        assert [each.found for each in done.fields] == [
            sum(np.unique(one).size - 1 for one in each) for each in found.values()
        ]
        world.told[done.round] = {each.field: each for each in done.fields}


def by_rollback(world: World, about: dict[str, Any]) -> None:
    if world.rounds > 1:
        with world.round("rollback", "dora"):
            rollback(world.project, about["number"] % (world.rounds - 1), by="dora")


MAKERS: dict[str, Callable[[World, dict[str, Any]], None]] = {
    "import": by_import,
    "import again": by_import,
    "reversal": by_reversal,
    "older export": by_older_export,
    "session": by_session,
    "session again": by_session,
    "model": by_model,
    "rollback": by_rollback,
}


def first_round(world: World) -> None:
    """Proposals of both classes, so that every round has labels to change."""
    start: list[Op] = [("add", time, place) for place in range(0, 12, 3) for time in range(TIMES)]
    found = edited(np.zeros((TIMES, *ZYX), np.uint32), start)
    proposed = {"s:nuclei": list(found), "s:golgi": list(found[:, :, ::-1])}
    propose(world, "bootstrap", "classical", proposed, 0.75)
