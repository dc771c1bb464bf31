"""Where no window can be opened, one line says so."""

from __future__ import annotations

import sys

import pytest

from hitl.project.folder import Project
from hitl.review.errors import WindowError
from hitl.review.window.opening import check_display, open_window
from tests.hitl.review.volumes import make_project


@pytest.fixture
def project(tmp_path) -> Project:
    return make_project(tmp_path / "p")


def test_no_display_is_said_in_one_line(project, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(WindowError, match=r"needs a display.*hitl export"):
        open_window(project, "s", annotator="ann")
    assert not (project.folder / "drafts").exists()


def test_a_dead_display_is_said_in_one_line(project, monkeypatch):
    for name in ("WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":98765")
    with pytest.raises(WindowError, match=r"cannot start \(could not connect to display :98765\)"):
        open_window(project, "s", annotator="ann")
    assert not (project.folder / "drafts").exists()


def test_no_napari_is_said_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "napari", None)
    with pytest.raises(WindowError, match=r"hitl-nuclei\[gui\]"):
        check_display()
