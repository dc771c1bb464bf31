"""How a process ends: with its own exit code and all that it had to say, whatever went wrong."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hitl.project.config import ProjectConfig
from hitl.project.folder import Project
from scripts.exit_storm import CASES, storm
from tests.annotations.store_sources import ArraySource

HITL = "from hitl.cli import main; main()"


def ended(script: str, *words: object) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def damaged(tmp_path: Path) -> Project:
    """A project whose only field has ten chunks, all of them damaged."""
    made = Project.create(tmp_path / "damaged", ProjectConfig())
    noise = np.random.default_rng(0).integers(0, 60000, (1, 40, 256, 256), np.uint16)
    made.store(read_only=False).add_field("s", ArraySource(noise))
    chunks = sorted((made.folder / "store" / "chunks").iterdir())
    assert len(chunks) >= 10
    for chunk in chunks:
        chunk.write_bytes(chunk.read_bytes()[::-1])
    return made


def test_reads_that_an_error_leaves_behind_neither_abort_nor_print(damaged: Project) -> None:
    code, _, said = ended(HITL, "bootstrap", damaged.folder, "--segmenter", "classical")
    lines = [line for line in said.splitlines() if not line.startswith("note: ")]
    assert code == 1
    assert [line.partition(": ")[0] for line in lines] == ["error"], said


def test_an_error_of_our_own_is_a_traceback_and_exit_code_1() -> None:
    script = f"import hitl.cli; hitl.cli.run = lambda _: 1 / 0; {HITL}"
    code, _, said = ended(script, "status")
    assert code == 1
    assert said.splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_what_is_to_be_done_at_the_end_is_done(tmp_path: Path) -> None:
    script = (
        "import atexit, tempfile, sys; kept = tempfile.TemporaryDirectory(dir=sys.argv.pop());"
        f"atexit.register(print, 'at the end'); {HITL}"
    )
    code, printed, said = ended(script, "--version", tmp_path)
    assert (code, said) == (0, "")
    assert printed.startswith("hitl ") and printed.endswith("\nat the end\n")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_before_the_command_begins_is_one_line() -> None:
    script = (
        "import hitl.cli, os, signal, sys\n"
        f"hitl.cli.run = lambda _: os.kill(os.getpid(), signal.SIGINT)\n{HITL}"
    )
    assert ended(script, "status") == (130, "", "error: interrupted\n")


def test_an_interrupt_in_the_midst_is_one_line(tmp_path: Path) -> None:
    script = (
        "import hitl.labelling.add, time, pathlib\n"
        "def slow(*_, **__):\n    pathlib.Path('begun').touch()\n    time.sleep(60)\n"
        f"hitl.labelling.add.add_field = slow\n{HITL}"
    )
    Project.create(tmp_path / "p", ProjectConfig())
    process = subprocess.Popen(
        [sys.executable, "-c", script, "add", "p", "image.tif"], cwd=tmp_path, text=True,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (
        130,
        "error: interrupted; what was recorded before is kept\n",
    )


@pytest.mark.slow
def test_no_command_aborts_when_many_run_at_once(tmp_path: Path) -> None:
    outcomes = storm(tmp_path / "storm", len(CASES), together=3, loops=0)
    assert [(each.case.words, each.code, each.said) for each in outcomes if not each.usual] == []
    crashed = [each.said for each in outcomes if "panicked" in each.said]
    assert crashed == []
