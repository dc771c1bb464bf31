"""Opening the window, where one can be opened; Qt would abort the process where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hitl.project.folder import Project
from hitl.review.errors import WindowError
from hitl.review.session.field_errors import FieldErrors
from hitl.review.session.project_session import ProjectSession
from hitl.review.session.worklist import WorklistEntry

if TYPE_CHECKING:
    from hitl.review.window.review_window import ReviewWindow

_PROBE = "from qtpy.QtGui import QGuiApplication; QGuiApplication([])"
_PROBE_TIMEOUT_S = 30.0
_BY_FILES = "or correct by files: hitl export, hitl import"


def open_window(
    project: Project,
    field: str,
    *,
    annotator: str,
    time: int | None = None,
    queue: Sequence[WorklistEntry] | None = None,
    errors: FieldErrors | None = None,
) -> ReviewWindow:
    """Open the correction window at a field; call `run` on it to wait until it is closed.

    Parameters
    ----------
    project : Project
    field : str
        Address of the labels.
    annotator : str
        The person.
    time : int, optional
        Time point, from 0; needed where there are several.
    queue : sequence of WorklistEntry, optional
        What to look at; the proposed objects by confidence when not given.
    errors : FieldErrors, optional
        A model's errors on the field; a key changes between them and the queue.

    Raises
    ------
    WindowError
        No napari, or no display.
    UnknownFieldError, ReviewError, DraftError, DraftConflictError
        As `ProjectSession.open`.
    """
    check_display()
    from hitl.review.window.review_window import ReviewWindow

    opened = ProjectSession.open(project, field, annotator=annotator, time=time, queue=queue)
    try:
        return ReviewWindow(opened, errors)
    except BaseException:
        opened.close()
        raise


def check_display() -> None:
    """Refuse to open a window where there can be none; Qt would abort the process.

    Raises
    ------
    WindowError
    """
    try:
        import napari  # noqa: F401
        from qtpy import QtWidgets  # noqa: F401
    except (ImportError, RuntimeError) as error:
        raise WindowError(
            f"the correction window needs napari and Qt ({error}); install them with "
            f"`pip install 'hitl-nuclei[gui]'`, {_BY_FILES}"
        ) from error
    if sys.platform != "linux":
        return
    wanted = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if not any(os.environ.get(name) for name in wanted):
        raise WindowError(
            "the correction window needs a display, got none (DISPLAY is not set); log in with a "
            f"desktop or `ssh -X`, {_BY_FILES}"
        )
    complaint = _complaint()
    if complaint:
        raise WindowError(
            f"the correction window needs a display, got one where Qt cannot start ({complaint}); "
            f"log in with a desktop or `ssh -X`, install what it names, {_BY_FILES}"
        )


def _complaint() -> str:
    """Start Qt in a process of its own and return why it ended, an empty string if it did not."""
    command = [sys.executable, "-P", "-c", _PROBE]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        display = os.environ.get("DISPLAY", "")
        return f"display {display!r} did not answer within {_PROBE_TIMEOUT_S:.0f} s"
    if tried.returncode == 0:
        return ""
    said = tried.stderr.strip().splitlines() or [f"it ended with {tried.returncode}"]
    # "qt.qpa.xcb: could not connect to display :0"; the lines after it guess at other causes.
    return said[0].removeprefix("qt.qpa.xcb: ").removeprefix("qt.qpa.plugin: ").rstrip(".")
