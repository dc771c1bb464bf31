"""Corrected labels of several time points, in one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hitl.labelling.exchange.importing import import_labels
from hitl.labelling.requests import ImportRequest
from hitl.project.config import ProjectConfig
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from tests.annotations.store_sources import ArraySource, by_model, proposed

TIMES, DEPTH = 3, 4


def series() -> NDArray[np.uint32]:
    """Object 1 at the first two time points, 2 at the last one; shape (T, Z, Y, X)."""
    labels = np.zeros((TIMES, DEPTH, 20, 24), np.uint32)
    labels[:2, 1:3, 4:9, 4:9] = 1
    labels[2, 0:2, 4:9, 14:19] = 2
    return labels


@pytest.fixture
def project(tmp_path: Path) -> Project:
    labels = series()
    noise = np.random.default_rng(0).integers(0, 20, (TIMES, 1, *labels.shape[1:]))
    made = Project.create(tmp_path / "project", ProjectConfig())
    store = made.store(read_only=False)
    store.add_field("s", ArraySource((noise + 100 * (labels[:, None] > 0)).astype(np.uint16)))
    with store.begin_round(by_model()) as round_:
        round_.set_labels("s", labels.reshape(-1, 20, 24), proposed([1, 2]))
    return made


def fetch(project: Project, file: Path, labels: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Import labels (T, Z, Y, X); return what is verified then, of the same shape."""
    np.save(file, labels)
    import_labels(project, ImportRequest(field="s", file=file), Silent())
    verified = project.store().labels("s").verified[...] > 0
    return verified.reshape(labels.shape)


def test_what_is_verified_stays_in_its_time_point(project: Project, tmp_path: Path) -> None:
    labels = series()
    # A new object in the last slice of a time point: the next slice is of another time.
    labels[0, DEPTH - 1, 12:16, 14:18] = 9
    verified = fetch(project, tmp_path / "new.npy", labels)
    assert verified[0, DEPTH - 1, 13, 15]
    assert verified[0, DEPTH - 2, 13, 15], "its shell below"
    assert not verified[1:].any()


def test_an_object_that_ends_at_one_time_point_goes_on_at_the_others(
    project: Project, tmp_path: Path
) -> None:
    labels = series()
    labels[1][labels[1] == 1] = 0
    fetch(project, tmp_path / "gone.npy", labels)
    view = project.store().labels("s")
    assert np.array_equal(view.labels[...].reshape(labels.shape), labels)
    assert set(view.objects.live_ids.tolist()) == {1, 2}
