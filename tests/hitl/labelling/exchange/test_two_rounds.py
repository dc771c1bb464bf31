"""Labels out to every tool and corrected back in: two rounds, the same whichever tool it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hitl.project.folder import Project
from tests.conftest import RealStack
from tests.hitl.labelling.exchange.tools import (
    FORMATS,
    LOAD,
    SAVE,
    fetch,
    first_edit,
    new_project,
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


def check_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found["rounds"][1:] == expected["rounds"][1:]
    assert np.array_equal(found["labels"], expected["labels"])
    assert np.array_equal(found["verified"], expected["verified"])
    for key, column in expected["objects"].items():
        assert np.array_equal(found["objects"][key], column, equal_nan=key == "confidence"), key


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
    check_same(two_rounds(project, tmp_path, fmt), expected)


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
    for found in results.values():
        check_same(found, results["tiff"])
