"""Labels out to every tool and corrected back in: two rounds, the same whichever tool it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hitl.labelling.exchange.errors import NothingChangedError
from hitl.labelling.exchange.sidecar import Sidecar
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from tests.conftest import RealStack
from tests.hitl.labelling.exchange.tools import (
    FORMATS,
    LOAD,
    SAVE,
    by_position,
    fetch,
    first_edit,
    new_project,
    save_tiff,
    second_edit,
    send,
    stored,
)


def two_rounds(project: Project, folder: Path, fmt: str) -> dict[str, Any]:
    """Export, correct, import, twice; return all that the store says of it."""
    shape = stored(project).shape
    for number, edit in enumerate((first_edit, second_edit), start=1):
        sent = send(project, folder / f"{fmt}-{number}", fmt)
        file = Path(sent.labels)
        SAVE[fmt](file, edit(LOAD[fmt](file, shape)))
        fetch(project, file)
    return state_of(project)


def state_of(project: Project) -> dict[str, Any]:
    """All that the store says of the labels and their rounds."""
    store = project.store()
    view = store.labels("cells")
    rounds = store.rounds()
    return {
        "labels": stored(project),
        "verified": np.asarray(view.verified[...]),
        "objects": {key: value.tolist() for key, value in view.objects.to_arrays().items()},
        "rounds": [
            (e.round, e.kind, e.author, e.minutes, dict(e.counts), e.config.get("base_round"))
            for e in rounds
        ],
    }


def numbered(state: dict[str, Any]) -> dict[str, Any]:
    """The same with ids by position: the Cellpose GUI numbers masks anew, without gaps.

    Which id of merged objects is gone follows from that too.
    """
    place = {one: number for number, one in enumerate(by_position(state["labels"]), start=1)}
    there = np.isin(state["objects"]["id"], list(place))
    ids = np.array([place[one] for one in np.asarray(state["objects"]["id"])[there].tolist()])
    objects = {
        key: np.asarray(column)[there][np.argsort(ids)] for key, column in state["objects"].items()
    }
    labels = np.zeros_like(state["labels"])
    for one, number in place.items():
        labels[state["labels"] == one] = number
    objects |= {"id": np.sort(ids), "gone": np.array([np.count_nonzero(~there)])}
    # How sure a model was goes with the id.
    objects.pop("confidence")
    return {**state, "labels": labels, "objects": objects}


def check_same(fmt: str, found: dict[str, Any], expected: dict[str, Any]) -> None:
    if fmt == "cellpose":
        found, expected = numbered(found), numbered(expected)
    assert found["rounds"][1:] == expected["rounds"][1:]
    assert np.array_equal(found["labels"], expected["labels"])
    assert np.array_equal(found["verified"], expected["verified"])
    for key, column in expected["objects"].items():
        assert np.array_equal(found["objects"][key], column, equal_nan=key == "confidence"), key


def on_one_file(project: Project, folder: Path, fmt: str) -> dict[str, Any]:
    """As `two_rounds`, from one export: a person saves, imports, and goes on in the same file."""
    file = Path(send(project, folder / fmt, fmt).labels)
    labels = LOAD[fmt](file, stored(project).shape)
    for edit in (first_edit, second_edit):
        labels = edit(labels)
        SAVE[fmt](file, labels)
        fetch(project, file)
    return state_of(project)


@pytest.fixture(scope="module")
def expected(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("expected")
    shutil.copytree(seeded / "project", folder / "project")
    return two_rounds(Project.open(folder / "project"), folder, "tiff")


def test_what_was_done_is_counted(expected: dict[str, Any]) -> None:
    assert [entry[:4] for entry in expected["rounds"]] == [
        (0, "bootstrap", "model:classical", None),
        (1, "import", "ann", 3.0),
        (2, "import", "ann", 3.0),
    ]
    first, second = (entry[4]["cells:nuclei"] for entry in expected["rounds"][1:])
    assert (first.merged, first.deleted, first.reshaped, first.split, first.added) == (
        1,
        1,
        1,
        0,
        0,
    )
    assert (second.merged, second.deleted, second.reshaped) == (0, 0, 0)
    assert (second.split, second.added) == (1, 1)
    assert 0 < expected["verified"].mean() < 0.9


@pytest.mark.parametrize("fmt", [f for f in FORMATS if f != "tiff"])
def test_every_tool_gives_the_same_provenance(
    fmt: str, project: Project, tmp_path: Path, expected: dict[str, Any]
) -> None:
    check_same(fmt, two_rounds(project, tmp_path, fmt), expected)


@pytest.mark.real
@pytest.mark.slow
def test_two_rounds_of_every_tool_on_a_real_stack(
    real_stack: Callable[[str], RealStack], tmp_path: Path
) -> None:
    image, _, spacing_um = real_stack("gonuclear_1136")
    new_project(tmp_path, image, spacing_um)
    results = {}
    for fmt in FORMATS:
        shutil.copytree(tmp_path / "project", tmp_path / fmt)
        results[fmt] = two_rounds(Project.open(tmp_path / fmt), tmp_path, fmt)
    assert [entry[1] for entry in results["tiff"]["rounds"]] == ["bootstrap", "import", "import"]
    for fmt, found in results.items():
        check_same(fmt, found, results["tiff"])


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_person_goes_on_in_the_same_file_after_an_import(
    project: Project, tmp_path: Path, fmt: str, expected: dict[str, Any]
) -> None:
    check_same(fmt, on_one_file(project, tmp_path, fmt), expected)


@pytest.mark.parametrize("first", ["bob", "ann"])
def test_who_goes_on_in_the_same_file_takes_nothing_of_others_back(
    project: Project, tmp_path: Path, first: str
) -> None:
    labels = stored(project)
    a, *_, z = by_position(labels)
    mine, theirs = (Path(send(project, tmp_path / who, "tiff").labels) for who in ("ann", "bob"))

    def by_bob() -> None:
        save_tiff(theirs, np.where(labels == z, 0, labels))
        fetch(project, theirs, annotator="bob")

    slices = np.argwhere(labels == a)[:, 0]
    smaller = labels.copy()
    smaller[slices.max()][labels[slices.max()] == a] = 0
    smallest = smaller.copy()
    smallest[slices.min()][labels[slices.min()] == a] = 0
    if first == "bob":
        by_bob()
    for number, mine_now in enumerate((smaller, smallest, np.where(labels == a, 0, labels))):
        save_tiff(mine, mine_now)
        done = fetch(project, mine)
        assert (done.counts.reshaped, done.counts.deleted) == ((1, 0) if number < 2 else (0, 1))
        if first == "ann" and number == 0:
            by_bob()
        np.testing.assert_array_equal(stored(project), np.where(labels == z, 0, mine_now))
    with pytest.raises(NothingChangedError):
        fetch(project, mine)


def test_a_new_name_of_the_file_gets_its_own_note_of_where_it_comes_from(
    project: Project, tmp_path: Path
) -> None:
    sent = send(project, tmp_path / "a", "tiff")
    labels = stored(project)
    saved = tmp_path / "a" / "saved.tif"
    save_tiff(saved, first_edit(labels))
    fetch(project, saved)
    beside = Sidecar.read(Path(f"{saved}.hitl.json"))
    assert (beside.round, list(beside.ids)) == (1, np.unique(stored(project))[1:].tolist())
    assert Sidecar.read(Path(f"{sent.labels}.hitl.json")).round == 0
    save_tiff(saved, second_edit(first_edit(labels)))
    assert fetch(project, saved).base_round == 1


def test_a_folder_that_cannot_be_written_is_told(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = send(project, tmp_path / "a", "tiff")
    save_tiff(Path(sent.labels), first_edit(stored(project)))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hitl.labelling.exchange.sidecar.write_json", full)
    reporter = Silent()
    assert fetch(project, sent.labels, reporter=reporter).round == 1
    assert any("export again before you go on" in note for note in reporter.notes)
