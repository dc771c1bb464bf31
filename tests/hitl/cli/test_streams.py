"""Closed, full and narrow streams, and names that a terminal would obey, in real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from annotations.formats import write_labels_tiff
from annotations.objects import ObjectTable, Status
from hitl.cli.streams import printable
from hitl.project.config import ProjectConfig
from hitl.project.errors import ProjectError
from hitl.project.folder import Project
from tests.annotations.store_sources import SPACING_UM, ArraySource, boxes, by_model, noise

HITL = f"{sys.executable} -c 'from hitl.cli import main; main()'"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project.create(tmp_path / "p", ProjectConfig())
    store = made.store(read_only=False)
    labels = boxes()
    store.add_field("s", ArraySource(noise((1, *labels.shape))))
    with store.begin_round(by_model()) as round_:
        ids = np.unique(labels)[1:]
        table = ObjectTable.make(ids, status=Status.PROPOSED, origin="model:m", round=0)
        round_.set_labels("s", labels, table)
    return made


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command.replace("hitl ", f"{HITL} ")],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )


def test_a_result_that_cannot_be_printed_is_not_called_undone(
    project: Project, tmp_path: Path
) -> None:
    changed = boxes()
    changed[changed == 1] = 0
    write_labels_tiff(tmp_path / "mine.tif", changed, SPACING_UM)
    done = shell(f"hitl import {project.folder} s {tmp_path / 'mine.tif'} > /dev/full")
    assert (done.returncode, done.stderr.count("error: ")) == (1, 1)
    assert "all was done, but what it gave cannot be printed (No space left" in done.stderr
    assert project.store().last_round() == 1


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("hitl status {} >&-", 0),
        ("hitl status {} --json >&- 2>&-", 0),
        ("hitl status {} <&-", 0),
        ("hitl status {}/nothing 2>&-", 1),
        ("hitl status {}/nothing 2>/dev/full", 1),
        ("hitl status {} | head -1; exit ${PIPESTATUS[0]}", 0),
        ("hitl log {} > /dev/full", 1),
        ("hitl --help > /dev/full", 1),
    ],
)
def test_closed_and_full_streams(project: Project, command: str, code: int) -> None:
    done = shell(command.replace("{}", str(project.folder)))
    assert done.returncode == code
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert done.stderr.count("\n") <= 1


def test_a_terminal_of_ascii_reads_plain_letters(project: Project) -> None:
    done = shell(f"hitl status {project.folder}", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    z, y, x = boxes().shape
    assert f"{z}x{y}x{x}" in done.stdout and "um z, y, x" in done.stdout
    assert done.stdout.isascii() and "?" not in done.stdout


def test_names_are_shown_and_not_obeyed(project: Project) -> None:
    assert printable("a\x1b[31mb\x07\n\tc") == "a�[31mb�\n\tc"
    for name in ("\x1b[31mred", "model:starter", "a\nb", "\udcff", "x" * 101, " a"):
        with pytest.raises(ProjectError, match="expected the name of a person"):
            project.annotator(name)
    done = shell(f"hitl import {project.folder} s nothing.tif --annotator $'\\xff\\e[31m'")
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert "expected the name of a person" in done.stderr and "\x1b" not in done.stderr
