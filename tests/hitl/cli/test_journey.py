"""Export, edit, import, edit again and import again in the same file, whichever tool it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotations.formats.registry import FORMATS
from hitl.cli import run
from hitl.project.folder import Project
from tests.hitl.cli.journeys import (
    ALONE,
    IDS,
    SAVE,
    SAVED_AS,
    SHAPES,
    Labels,
    by_others,
    exported_as,
    first_edit,
    holds,
    load,
    make_project,
    second_edit,
    start,
)

NAMES = tuple(fmt.name for fmt in FORMATS)
NEW = max(IDS) + 100 + 1
"""Above all ids, at any time point."""

QUICK = ("tiff", "ome-zarr", "cellpose")
"""Formats of which every kind of field is tried in every run."""

PAIRS = [
    pytest.param(
        fmt, each, marks=[pytest.mark.slow] * (fmt not in QUICK and each not in ("stack", "flat"))
    )
    for fmt in NAMES
    for each in ALONE
    if holds(fmt, each)
]
EACH = [pytest.param(fmt, marks=[pytest.mark.slow] * (fmt not in QUICK)) for fmt in NAMES]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("journeys") / "project")


@dataclass
class Journey:
    """One person's file of a field, and what the tool holds."""

    command: Callable[..., dict[str, Any]]
    project: Path
    address: str
    fmt: str
    folder: Path
    who: str = "ann"

    def __post_init__(self) -> None:
        fmt = exported_as(self.fmt)
        sent = self.command("export", self.project, self.address, self.folder, "--format", fmt)
        exported = Path(sent["labels"])
        self.labels = load(exported, SHAPES[self.address], fmt)
        self.file = self.folder / SAVED_AS[self.fmt] if self.fmt in SAVED_AS else exported

    def edit(self, done: Callable[[Labels, int], Labels], new: int) -> dict[str, Any]:
        """Edit in the tool, save, and import."""
        self.labels = done(self.labels, new)
        SAVE[self.fmt](self.file, self.labels)
        if self.fmt == "cellpose":
            self.labels = load(self.file, self.labels.shape, self.fmt)
        return self.command(*self.import_again())

    def import_again(self) -> tuple[object, ...]:
        who = ("--annotator", self.who)
        return ("import", self.project, self.address, self.file, *who)

    @property
    def stored(self) -> Labels:
        found = Project.open(self.project).store().labels(self.address).labels[...]
        return np.asarray(found, np.uint32).reshape(SHAPES[self.address])

    def check(self, expected: Labels, fresh: tuple[int, ...] = ()) -> None:
        """Each object is there under its own id; those of `fresh` under any that nobody has."""
        stored, known = self.stored, set(np.unique(expected)) - set(fresh)
        np.testing.assert_array_equal(stored > 0, expected > 0)
        for one in np.unique(expected):
            (found,) = np.unique(stored[expected == one])
            assert found == one if one in known else found not in known


@pytest.fixture
def begin(
    template: Path, tmp_path: Path, command: Callable[..., dict[str, Any]]
) -> Callable[..., Journey]:
    shutil.copytree(template, tmp_path / "project")

    def make(fmt: str, address: str, who: str = "ann") -> Journey:
        folder = tmp_path / who
        return Journey(command, tmp_path / "project", address, fmt, folder, who)

    return make


def done_in(told: dict[str, Any]) -> dict[str, int]:
    return {what: count for what, count in told["counts"].items() if count}


def refused(journey: Journey, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line of a command that is refused, and leaves the store as it was."""
    head = Project.open(journey.project).store().head()
    capsys.readouterr()
    assert run([*map(str, arguments)]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert Project.open(journey.project).store().head() == head
    return error


@pytest.mark.parametrize(("fmt", "address"), PAIRS)
def test_a_person_goes_on_in_one_file_while_others_work(
    begin: Callable[..., Journey], capsys: pytest.CaptureFixture[str], fmt: str, address: str
) -> None:
    # A tool that numbers masks anew: what is new in it has no number of its own.
    fresh = (NEW, NEW + 2) if fmt == "cellpose" else ()
    mine = begin(fmt, address)
    told = mine.edit(first_edit, NEW)
    several = SHAPES[address][0] > 1
    assert done_in(told) == {"deleted": 1 + several, "split": 1, "reshaped": 1}
    expected = first_edit(start(address), NEW)
    mine.check(expected, fresh)

    other = begin(exported_as("npy"), address, "bob")
    assert done_in(other.edit(by_others, NEW + 1)) == {"added": 1, "deleted": 1, "reshaped": 1}
    expected = by_others(expected, NEW + 1)
    mine.check(expected, fresh)

    told = mine.edit(second_edit, NEW + 2)
    assert done_in(told) == {"added": 1, "merged": 1, "reshaped": 1}
    expected = second_edit(expected, NEW + 2)
    mine.check(expected, fresh)

    again = refused(mine, capsys, *mine.import_again())
    assert "the labels are those of the project already" in again
    log = mine.command("log", mine.project)["log"]
    assert [each["author"] for each in log][:4] == ["ann", "bob", "ann", "anna"]
    merged = mine.command("blame", mine.project, address, IDS[5])["changes"][1:]
    gone = [f"merged into {IDS[4]}", "deleted"]
    assert [(each["round"], each["by"]) for each in merged] == [(3, "ann")]
    # At another time point it goes on.
    assert merged[0]["what"][: len(gone)] == gone


@pytest.mark.parametrize("fmt", EACH)
def test_what_others_numbered_as_i_did_stays_theirs(
    begin: Callable[..., Journey], capsys: pytest.CaptureFixture[str], fmt: str
) -> None:
    """Two people draw objects under one number; each goes on in a file of their own."""
    address = "flat" if fmt == "picture" else "stack"
    mine, other = begin(fmt, address), begin("tiff", address, "bob")
    other.edit(by_others, NEW)
    mine.edit(first_edit, NEW)
    expected = first_edit(by_others(start(address), NEW), NEW + 1)
    mine.check(expected, (NEW + 1,))
    mine.edit(second_edit, NEW + 1)
    expected = second_edit(expected, NEW + 2)
    mine.check(expected, (NEW + 1, NEW + 2))
    # What I drew goes, and what bob drew under the same number stays.
    drawn = np.unique(mine.labels[0, 0, 9:12, 2:9])
    mine.edit(lambda labels, _: np.where(labels == drawn.item(), 0, labels), 0)
    mine.check(np.where(expected == NEW + 2, 0, expected), (NEW + 1,))
    other.edit(lambda labels, _: np.where(labels == NEW, 0, labels), 0)
    mine.check(np.where(np.isin(expected, [NEW, NEW + 2]), 0, expected), (NEW + 1,))


@pytest.mark.parametrize("fmt", [f for f in NAMES if not holds(f, "series")])
def test_a_format_without_room_for_time_points_is_refused(
    begin: Callable[..., Journey], capsys: pytest.CaptureFixture[str], tmp_path: Path, fmt: str
) -> None:
    mine = begin("tiff", "series")
    if fmt == "picture":
        file = tmp_path / "ann" / SAVED_AS[fmt]
        SAVE[fmt](file, mine.labels)
        error = refused(mine, capsys, "import", mine.project, "series", file)
        assert "saved.png: expected labels of 2 time points, as the image has, got 1" in error
        return
    out = tmp_path / "out"
    error = refused(mine, capsys, "export", mine.project, "series", out, "--format", fmt)
    assert "hold one time point, got 2; choose the format tiff or ome-zarr" in error
    assert not out.exists()


def test_two_classes_in_one_folder_are_not_taken_for_each_other(
    begin: Callable[..., Journey], capsys: pytest.CaptureFixture[str]
) -> None:
    golgi, nuclei = begin("tiff", "classes:golgi"), begin("tiff", "classes:nuclei")
    assert golgi.folder == nuclei.folder and golgi.file != nuclei.file
    other = refused(nuclei, capsys, "import", nuclei.project, "classes:nuclei", golgi.file)
    assert "expected labels of field 'classes:nuclei', got those of 'classes:golgi'" in other
    # Saved under a new name, it is whose class the person says.
    nuclei.file = nuclei.folder / "saved by hand.tif"
    nuclei.edit(first_edit, NEW)
    nuclei.edit(second_edit, NEW + 2)
    nuclei.check(second_edit(first_edit(start("stack"), NEW), NEW + 2))
    golgi.check(start("stack"))
    golgi.edit(first_edit, NEW)
    golgi.check(first_edit(start("stack"), NEW))
