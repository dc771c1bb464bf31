"""Run a command in this process under limits of time and memory, and demand a clean refusal."""

from __future__ import annotations

import faulthandler
import hashlib
import logging
import resource
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hitl.cli import run

SECONDS = 10
"""How long a refusal may take on a busy machine; most take a few milliseconds."""
MEMORY = 1 << 30
"""Bytes that may be asked for beyond what the process has."""


class TooSlow(BaseException):
    """A command that ran into the limit of time; not an Exception, so that nobody catches it."""


@contextmanager
def limits(seconds: float = SECONDS, memory: int = MEMORY) -> Iterator[None]:
    """Raise TooSlow after some time, and MemoryError where more memory is asked for.

    A call into native code that never returns ends the process a while later, with a trace.
    """

    def stop(*_: Any) -> None:
        raise TooSlow(f"not done after {seconds} s")

    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    handler = signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, before[1]))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(4 * seconds, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def contents(folder: Path) -> str:
    """Return a hash of every file of a folder, its name and its bytes."""
    seen = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.endswith(".lock"):
            seen.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
            seen.update(path.read_bytes())
    return seen.hexdigest()


@contextmanager
def _nothing_else_told() -> Iterator[None]:
    """Demand that no library warns or logs: pytest catches what a person would see beside it."""
    logged: list[logging.LogRecord] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = logged.append  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as told:
            for unseen in (DeprecationWarning, PendingDeprecationWarning, ResourceWarning):
                warnings.simplefilter("ignore", unseen)
            yield
    finally:
        logging.getLogger().removeHandler(handler)
    assert [str(one.message) for one in told] + [one.getMessage() for one in logged] == []


def refusal(capsys: pytest.CaptureFixture[str], project: Path, arguments: Sequence[object]) -> str:
    """Run a command that must be refused; gives its one line on standard error.

    It ends with exit code 1 or 2, within the limits, and leaves every file of the project as it
    was.
    """
    before = contents(project)
    capsys.readouterr()
    with limits(), _nothing_else_told():
        code = run([str(a) for a in arguments])
    printed = capsys.readouterr()
    assert code in (1, 2), (code, printed)
    errors = [line for line in printed.err.splitlines() if not line.startswith("note: ")]
    assert len(errors) == 1, printed.err
    (line,) = errors
    assert line.startswith("error: ")
    assert line.isprintable()
    assert contents(project) == before
    return line
