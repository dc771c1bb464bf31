"""Learning curves: a CSV file always, and TensorBoard or Weights & Biases beside it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from labels.files import read_plain, write_atomically
from labels.json_files import read_json
from models.errors import CheckpointError, ModelError

MOST_BYTES = 2**28
MOST_EPOCHS = 1e9

CURVES_FILE = "curves.csv"
TENSORBOARD_FOLDER = "tensorboard"
WANDB_FILE = "wandb.json"
WANDB_PROJECT = "hitl-nuclei"
STEP = "epoch"

Row = Mapping[str, float]
LoggerName = Literal["tensorboard", "wandb", "csv"]


class LoggerError(ModelError):
    """The chosen logger is not installed, or cannot start."""


class CurveLog:
    """The curves of one training, in its run folder.

    Parameters
    ----------
    folder : Path
        Run folder.
    columns : sequence of str
        Columns of `curves.csv`; ``"epoch"`` is one of them and is the loggers' step.
    logger : {"tensorboard", "wandb", "csv"}
        What the curves are sent to as well. TensorBoard's event file is in ``tensorboard/`` inside
        the folder; Weights & Biases follows its own environment variables (``WANDB_MODE=offline``).
    name : str
        Name of the run at Weights & Biases; the folder's name when empty.

    Raises
    ------
    LoggerError
        The logger is not installed, or refuses to start.
    """

    def __init__(
        self, folder: Path, columns: Sequence[str], logger: LoggerName = "tensorboard",
        name: str = "",
    ) -> None:  # fmt: skip
        if STEP not in columns:
            raise ValueError(f"expected a column {STEP!r}, got {', '.join(columns)}")
        self._path, self._columns = folder / CURVES_FILE, tuple(columns)
        self._logger: _TensorBoard | _WeightsAndBiases | None = None
        if logger == "tensorboard":
            self._logger = _TensorBoard(folder / TENSORBOARD_FOLDER)
        elif logger == "wandb":
            self._logger = _WeightsAndBiases(folder, name or folder.name)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def write(self, rows: Sequence[Row]) -> None:
        """Write the history.

        Parameters
        ----------
        rows : sequence of mapping of str to float
            Every row so far, in the order of their epochs. A column that a row lacks stays empty;
            values that are not finite are written as ``nan`` and ``inf``.

        Raises
        ------
        ValueError
            A row has a column that was not announced, or no epoch.
        """
        for row in rows:
            if STEP not in row or not set(row) <= set(self._columns):
                raise ValueError(
                    f"expected the columns {', '.join(self._columns)}, got {', '.join(row)}"
                )
        write_atomically(self._path, _as_csv(self._columns, rows).encode())
        if self._logger is not None:
            self._logger.write(rows)

    def close(self) -> None:
        """Close the logger; the files stay."""
        if self._logger is not None:
            self._logger.close()
            self._logger = None


def read_curves(folder: Path) -> list[dict[str, float]]:
    """Read the curves of a run.

    Parameters
    ----------
    folder : Path
        Run folder.

    Returns
    -------
    list of dict of str to float
        One row per epoch; an empty field is left out of its row.

    Raises
    ------
    CheckpointError
        There is no `curves.csv`, or it is damaged.
    """
    path = folder / CURVES_FILE
    try:
        text = read_plain(path, MOST_BYTES, linked=True).decode("utf-8")
        rows = [
            {key: float(value) for key, value in row.items() if value not in ("", None)}
            for row in csv.DictReader(io.StringIO(text, newline=""))
        ]
        if not all(0 <= row.get(STEP, -1) < MOST_EPOCHS for row in rows):
            raise ValueError(f"a row without its {STEP}")
        return rows
    except OSError as error:
        raise CheckpointError(
            f"{path}: expected the curves of a training, got none ({error.strerror}); "
            "give the folder of a run"
        ) from error
    except (ValueError, TypeError, csv.Error) as error:
        raise CheckpointError(
            f"{path}: expected one number per column, got a damaged file ({error}); "
            "copy the whole run folder again, or train again"
        ) from error


def _as_csv(columns: Sequence[str], rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    for row in rows:
        writer.writerow({k: int(v) if k == STEP else f"{v:.6g}" for k, v in row.items()})
    return text.getvalue()


def _values(row: Row) -> dict[str, float]:
    return {key: float(value) for key, value in row.items() if key != STEP}


class _TensorBoard:
    """One event file, of TensorBoard's own records; its `EventFileWriter` loads TensorFlow.

    A continued training starts a file of its own that repeats the epochs before it, with the times
    they were written at, and takes the place of the earlier one: no epoch is there twice, and an
    epoch that had been logged but was trained again has its new values.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: io.BufferedWriter | None = None
        self._last = 0

    def write(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        if self._file is None:
            self._file = self._begin(rows)
        else:
            now = time.time()
            for row in rows:
                if row[STEP] > self._last:
                    self._file.write(_record(_event(row, now)))
            self._file.flush()
        self._last = int(rows[-1][STEP])

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _begin(self, rows: Sequence[Row]) -> io.BufferedWriter:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        self._folder.mkdir(parents=True, exist_ok=True)
        earlier = sorted(self._folder.glob("events.out.tfevents.*.curves"))
        known = {int(e.step): e for path in earlier for e in read_events(path)}
        now = time.time()
        # A viewer that is open drops what it has from this step on, and reads it again.
        start = SessionLog(status=SessionLog.START)
        head = [
            Event(wall_time=now, file_version="brain.Event:2"),
            Event(wall_time=now, step=int(rows[0][STEP]), session_log=start),
        ]
        events = [_unchanged(known, _event(row, now)) for row in rows]
        path = self._folder / f"events.out.tfevents.{now:017.6f}.curves"
        # Under a name that no viewer takes for an event file until it is whole.
        staged = self._folder / "beginning"
        write_atomically(staged, b"".join(_record(event) for event in [*head, *events]))
        staged.replace(path)
        for one in earlier:
            one.unlink()
        return path.open("ab")


def _event(row: Row, wall_time: float) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    values = [Summary.Value(tag=key, simple_value=value) for key, value in _values(row).items()]
    return Event(step=int(row[STEP]), wall_time=wall_time, summary=Summary(value=values))


def _unchanged(known: Mapping[int, Any], event: Any) -> Any:
    """Return the event as it was written before where it says the same."""
    before = known.get(int(event.step))
    # Bytes, since a NaN differs from itself.
    if before is None or before.summary.SerializeToString() != event.summary.SerializeToString():
        return event
    return before


def _record(event: Any) -> bytes:
    from tensorboard.summary.writer.record_writer import RecordWriter

    buffer = io.BytesIO()
    RecordWriter(buffer).write(event.SerializeToString())
    return buffer.getvalue()


def read_events(path: Path) -> Iterator[Any]:
    """Yield the events of a file that hold values, up to where a killed process stopped writing."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.tensorflow_stub.errors import DataLossError, OutOfRangeError
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

    reader = PyRecordReader_New(str(path))
    with contextlib.suppress(OutOfRangeError, DataLossError):
        while True:
            reader.GetNext()
            event = Event.FromString(reader.record())
            if event.HasField("summary"):
                yield event


def _resumed(file: Path) -> tuple[int, str]:
    """Return the last step that a run at Weights & Biases has, and its id; of a new one first."""
    if not file.exists():
        return -1, secrets.token_hex(4)
    try:
        state = read_json(file)
        return int(state["last"]), str(state["id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LoggerError(
            f"{file}: expected the id of a run at Weights & Biases, got something else; delete it "
            "to begin a new one there"
        ) from error


class _WeightsAndBiases:
    """A run at Weights & Biases; a continued training continues it."""

    def __init__(self, folder: Path, name: str) -> None:
        try:
            import wandb
        except ImportError as error:
            raise LoggerError(
                "logger wandb: expected the package wandb, which is not installed; "
                "pip install hitl-nuclei[wandb], or choose the logger tensorboard"
            ) from error
        self._state = folder / WANDB_FILE
        self._last, self._id = _resumed(self._state)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", WANDB_PROJECT),
                name=name,
                id=self._id,
                resume="allow",
                dir=str(folder),
                settings=wandb.Settings(silent=True, console="off"),
            )
        except wandb.errors.Error as error:
            raise LoggerError(
                f"logger wandb: expected a session at Weights & Biases, got: {error}; "
                "run wandb login, or set WANDB_MODE=offline, or choose the logger tensorboard"
            ) from error

    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if row[STEP] > self._last:
                self._last = int(row[STEP])
                self._run.log(_values(row), step=self._last)
        state = {"id": self._id, "last": self._last}
        write_atomically(self._state, (json.dumps(state) + "\n").encode())

    def close(self) -> None:
        self._run.finish()
