"""An X server without a screen, and processes whose windows open there."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import ROOT

Start = Callable[..., "Child"]


class Child:
    """A module of this folder in a process of its own, with settings of its own for napari."""

    def __init__(self, module: str, *arguments: object, log: Path, env: dict[str, str]) -> None:
        self._log = log
        command = [sys.executable, "-m", f"tests.hitl.review.window.{module}"]
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)],
            env=env,
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
        )

    @property
    def log(self) -> str:
        """What it wrote to standard error; of a failed assertion the traceback."""
        return self._log.read_text()

    def line(self) -> str:
        """Wait for the next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def printed(self) -> str:
        """Wait until it has ended well, and give what it printed."""
        out, _ = self.process.communicate(timeout=300)
        assert self.process.returncode == 0, self.log
        return out

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def display() -> Iterator[str]:
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
    yield f":{number}"
    server.terminate()
    server.wait()


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """The folder that screenshots go to."""
    folder = Path(os.environ.get("HITL_TEST_SCREENSHOTS", tmp_path / "shots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def start(
    display: str, shots: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Start]:
    """Start a child by its module and arguments; it does not outlive the test."""
    home = tmp_path / "home"
    home.mkdir()
    names = ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")
    env = {
        **os.environ,
        **dict.fromkeys(names, str(home)),
        "DISPLAY": display,
        "QT_QPA_PLATFORM": "xcb",
        "LIBGL_ALWAYS_SOFTWARE": "1",
        "NAPARI_CONFIG": str(home / "napari.yaml"),
        # Where nothing was compiled at installation, napari takes seconds of every start.
        "PYTHONPYCACHEPREFIX": str(tmp_path_factory.getbasetemp() / "bytecode"),
    }
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    children: list[Child] = []

    def begin(module: str, *arguments: object) -> Child:
        log = shots / f"{module}_{len(children)}.log"
        children.append(Child(module, *arguments, log=log, env=env))
        return children[-1]

    yield begin
    for child in children:
        child.kill()
