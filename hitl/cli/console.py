"""What a command prints: results on standard output, the rest on standard error."""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hitl.cli.streams import give_up, printable
from hitl.project.errors import HitlError
from hitl.project.plain import plain
from labels.errors import ToldWarning

QUIET_SECONDS = 2.0

LONGEST_LINE = 2000
"""Characters of a note or an error."""


class OutputError(HitlError):
    """A result that cannot be printed; what it tells of was done."""


class Console:
    """Prints one command's result, as text or as one JSON object.

    Parameters
    ----------
    as_json : bool
        Print one JSON object on standard output and nothing else there.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.notes: list[str] = []
        self._bar: _Bar | None = None

    def note(self, message: str) -> None:
        """Print a note on standard error, once."""
        if message in self.notes:
            return
        self.notes.append(message)
        self._clear()
        _tell(f"note: {one_line(message)}")

    def step(self, command: str) -> None:
        """Print the command that is about to be run, on standard error."""
        self._clear()
        _tell(f"$ {command}")

    def progress(self, done: int, total: int, what: str) -> None:
        """Advance the bar; silent when standard error is no terminal or the work is short."""
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            self._bar = _Bar()
        self._bar.update(done, total, what)

    def result(self, data: Any, text: Any) -> None:
        """Print the result: `data` (a mapping or dataclass) as JSON, or `text`.

        `text` is a string or something that rich can print.

        Raises
        ------
        OutputError
            It cannot be printed.
        """
        self._clear()
        try:
            self._print(data, text)
            sys.stdout.flush()
        except OSError as error:
            give_up(sys.stdout)
            # Who reads no further, as `head`, has seen what they wanted.
            if not isinstance(error, BrokenPipeError):
                raise OutputError(
                    f"all was done, but what it gave cannot be printed ({error.strerror}); "
                    "`hitl log PROJECT` tells what was recorded"
                ) from error

    def _print(self, data: Any, text: Any) -> None:
        if self.as_json:
            print(json.dumps({**plain(data), "notes": self.notes}, allow_nan=False))
        elif isinstance(text, str):
            print(printable(text))
        else:
            from rich.console import Console as RichConsole

            width = None if sys.stdout.isatty() else 120
            RichConsole(width=width, highlight=False).print(text)

    def _clear(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class _Bar:
    """A rich progress bar that appears only when the work has taken two seconds."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._progress: Any = None
        self._task: Any = None

    def update(self, done: int, total: int, what: str) -> None:
        if self._progress is None:
            if time.monotonic() - self._started < QUIET_SECONDS:
                return
            self._start()
        self._progress.update(self._task, completed=done, total=total, description=what)

    def _start(self) -> None:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        self._progress = Progress(
            "{task.description}",
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=RichConsole(stderr=True),
            transient=True,
        )
        self._progress.start()
        self._task = self._progress.add_task("", total=None)

    def stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()


class Interrupted(BaseException):
    """Ctrl+C while a command worked; click would print its own word for a KeyboardInterrupt."""


@contextmanager
def console(as_json: bool) -> Iterator[Console]:
    """Give a console, and take its progress bar down whatever happens.

    A `ToldWarning` becomes a note.

    Raises
    ------
    Interrupted
        In place of KeyboardInterrupt.
    """
    made = Console(as_json)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", ToldWarning)
            warnings.showwarning = _as_notes(made, warnings.showwarning)
            yield made
    except KeyboardInterrupt as exc:
        raise Interrupted from exc
    finally:
        made._clear()


def _as_notes(made: Console, others: Callable[..., None]) -> Callable[..., None]:
    """Print what must be told as notes, and all other warnings as they were."""

    def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
        if issubclass(category, ToldWarning):
            made.note(str(message))
        else:
            others(message, category, *where)

    return show


def print_error(message: str) -> None:
    """Print one line on standard error."""
    _tell(f"error: {one_line(message)}")


def _tell(line: str) -> None:
    """Print a line on standard error; where that fails nobody can be told."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        give_up(sys.stderr)


def one_line(message: str) -> str:
    """Join the lines of a message, and cut what would fill the screen."""
    line = printable(" ".join(message.split()))
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} …"
