"""A small project that hostile input is tried on, made once and copied."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from annotations.formats import write_labels_tiff
from annotations.objects import ObjectTable, Status
from hitl.project.config import ProjectConfig
from hitl.project.folder import Project
from tests.annotations.store_sources import SPACING_UM, ArraySource, boxes, by_model, noise


def make_project(folder: Path) -> Path:
    """Make a project with a field `s` whose three objects a model proposed."""
    project = Project.create(folder, ProjectConfig())
    store = project.store(read_only=False)
    labels = boxes()
    store.add_field("s", ArraySource(noise((1, *labels.shape))))
    with store.begin_round(by_model()) as round_:
        ids = np.unique(labels)[1:]
        table = ObjectTable.make(ids, status=Status.PROPOSED, origin="model:m", round=0)
        round_.set_labels("s", labels, table)
    return folder


def good_labels(path: Path) -> Path:
    """Write labels that field `s` takes: one object of the three is gone."""
    labels = boxes()
    labels[labels == 2] = 0
    write_labels_tiff(path, labels, SPACING_UM)
    return path


@pytest.fixture(scope="module")
def whole_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that is only copied."""
    return make_project(tmp_path_factory.mktemp("whole") / "project")


@pytest.fixture
def project(whole_project: Path, tmp_path: Path) -> Path:
    """A project of the test's own."""
    return Path(shutil.copytree(whole_project, tmp_path / "project"))
