"""A new format is one object and one line: it is found everywhere, also on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from annotations.formats.format import Content, Expected, Format, LabelsRead, translated
from annotations.formats.registry import FORMATS
from hitl.cli import run
from hitl.project.folder import Project
from tests.hitl.labelling.exchange.tools import first_edit, stored


def write(path: Path, content: Content) -> None:
    path.write_text(json.dumps(content.labels.tolist()))


def read(path: Path, expected: Expected) -> LabelsRead:
    with translated(path, "save it again"):
        return LabelsRead(np.array(json.loads(path.read_text()), np.uint32), ("read a toy",))


TOY = Format(
    name="toy",
    title="toy",
    suffixes=(".toy",),
    tool="a toy",
    hint="play with it",
    export_name="{}.toy",
    read=read,
    write=write,
)


@pytest.fixture
def registered() -> Iterator[None]:
    FORMATS.append(TOY)
    yield
    FORMATS.remove(TOY)


@pytest.mark.usefixtures("registered")
def test_a_toy_goes_out_and_comes_back(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = str(project.folder), tmp_path / "out"
    assert run(["export", folder, "cells", str(out), "--format", "toy"]) == 0
    assert "play with it" in capsys.readouterr().out
    assert {"cells.tif", "cells.toy", "cells.toy.hitl.json"} == {p.name for p in out.iterdir()}
    np.testing.assert_array_equal(json.loads((out / "cells.toy").read_text()), stored(project))
    edited = first_edit(stored(project))
    (out / "cells.toy").write_text(json.dumps(edited.tolist()))
    assert run(["import", folder, "cells", str(out / "cells.toy"), "--annotator", "ann"]) == 0
    printed = capsys.readouterr()
    assert "1 merged" in printed.out
    assert "read a toy" in printed.err
    assert project.store().rounds()[-1].config["format"] == "toy"
    np.testing.assert_array_equal(stored(project) > 0, edited > 0)
    assert run(["import", folder, "cells", str(out / "cells.toy"), "--annotator", "ann"]) == 1
    assert "no round was made" in capsys.readouterr().err


def test_an_unknown_format_is_wrong_usage(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", str(project.folder), "cells", str(tmp_path / "out"), "--format", "toy"]
    assert run(arguments) == 2
    assert "expected one of tiff, labkit" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
