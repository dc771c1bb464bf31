"""A project with one field and its bootstrapped labels."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hitl.project.folder import Project
from tests.hitl.labelling.exchange.tools import SPACING_UM, balls, new_project


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeded")
    new_project(folder, balls()[0], SPACING_UM)
    return folder


@pytest.fixture
def project(seeded: Path, tmp_path: Path) -> Project:
    shutil.copytree(seeded / "project", tmp_path / "project")
    return Project.open(tmp_path / "project")
