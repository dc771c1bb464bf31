"""An X server without a screen, and processes whose windows open there."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import ROOT


@contextmanager
def virtual_display() -> Iterator[str]:
    """Start an X server and give its DISPLAY; the test is skipped where there is none."""
    if shutil.which("Xvfb") is None or importlib.util.find_spec("napari") is None:
        pytest.skip("the window is NOT tested: install Xvfb (apt install xvfb) and the gui extra")
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1400x900x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as stream:
        number = stream.readline().strip()
    assert number, "Xvfb did not start"
    try:
        yield f":{number}"
    finally:
        server.terminate()
        server.wait()


def start_child(
    module: str, arguments: list[str], *, display: str, shots: Path, log: Path
) -> subprocess.Popen[str]:
    """Run a module of tests.hitl in a process of its own, with settings of its own for napari."""
    home = shots / "home"
    home.mkdir(parents=True, exist_ok=True)
    names = ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")
    env = {
        **os.environ,
        **dict.fromkeys(names, str(home)),
        "DISPLAY": display,
        "QT_QPA_PLATFORM": "xcb",
        "LIBGL_ALWAYS_SOFTWARE": "1",
        "NAPARI_CONFIG": str(home / "napari.yaml"),
    }
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.hitl.review.window.{module}", *arguments],
        env=env,
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=log.open("w"),
    )
