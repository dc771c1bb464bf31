"""What `hitl measure` is asked for and what it gives back: a project's stacks, or two files."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from annotations.formats import open_image
from hitl import __version__
from hitl.cli.tables import plain_table
from hitl.labelling.add import default_name, open_label_file
from hitl.measure.fucci import PHASES, FucciOptions, Phases, tell_phases
from hitl.measure.nuclei import Measured, MeasureOptions, column_names, measure_nuclei
from hitl.measure.output import check_folder, phase_rows, write_files
from hitl.measure.sources import FileSource, channel_number
from hitl.measure.table import FORMATS, joined
from hitl.project.folder import now
from hitl.project.reporter import Reporter
from labels.spacing import Spacing


@dataclass(frozen=True, kw_only=True)
class MeasureRequest:
    """How to measure and where to write.

    Parameters
    ----------
    output : Path, optional
        Folder; a project's ``measurements/0001``, … when not given.
    formats : tuple of str
        Of ``parquet``, ``csv``, ``xlsx``.
    options : MeasureOptions
    fucci : FucciOptions, optional
        Tell phases from these channels.
    overwrite : bool
    """

    output: Path | None = None
    formats: tuple[str, ...] = FORMATS
    options: MeasureOptions = field(default_factory=MeasureOptions)
    fucci: FucciOptions | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class MeasuredFiles:
    """What was measured and written.

    Parameters
    ----------
    folder : Path
    files : mapping of str to Path
    summary : mapping
        What ``summary.json`` holds.
    phases : mapping of str to Phases
        By stack; empty when none were asked for.
    """

    folder: Path
    files: dict[str, Path]
    summary: dict[str, Any]
    phases: dict[str, Phases]

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {**self.summary, "files": {name: str(path) for name, path in self.files.items()}}

    def tables(self) -> Any:
        """Return what is printed for people."""
        from rich.console import Group
        from rich.markup import escape

        columns = ("stack", "nuclei", "volume (µm³)", "sphericity", "at the border", "labels of")
        rows = [
            (escape(about["stack"]), str(about["nuclei"]), *map(_number, about["medians"].values()),
             str(about["at_border"]), escape(about["labels_of"]))
            for about in self.summary["stacks"]
        ]  # fmt: skip
        parts = [
            plain_table(columns, rows, title="nuclei; medians of each stack", right=columns[1:5])
        ]
        if self.phases:
            heads = ("stack", *PHASES, "not told", "uncertain")
            found = [
                (escape(row["stack"]), *(str(row[phase]) for phase in PHASES),
                 str(row["nuclei"] - sum(row[phase] for phase in PHASES)),
                 "–" if row["uncertain_fraction"] is None else f"{row['uncertain_fraction']:.0%}")
                for row in phase_rows(self.phases)
            ]  # fmt: skip
            parts.append(
                plain_table(heads, found, title="phases of the cell cycle", right=heads[1:])
            )
        names = ", ".join(self.files)
        return Group(*parts, f"in {escape(str(self.folder))}: {names}")


class Collected:
    """The tables of several stacks, as they are measured one after the other."""

    def __init__(self, request: MeasureRequest, reporter: Reporter) -> None:
        self._request, self._reporter = request, reporter
        self.tables: list[dict[str, Any]] = []
        self.about: list[dict[str, Any]] = []
        self.phases: dict[str, Phases] = {}
        self.channels: dict[str, str] = {}

    def add(
        self,
        name: str,
        channels: tuple[str, ...],
        measured: Measured,
        first: dict[str, Any],
        about: dict[str, Any],
    ) -> None:
        """Add one stack: `first` holds the columns that come before those of `measured`."""
        fucci = self._request.fucci
        columns = dict(measured.columns)
        named = dict(zip(column_names(channels), channels, strict=True))
        self.channels.update(named)
        for note in measured.notes:
            self._reporter.note(f"{name}: {note}")
        about = {
            "stack": name,
            "nuclei": len(measured.shapes),
            **about,
            "medians": {
                key: float(np.median(columns[key])) if len(measured.shapes) else None
                for key in ("volume_um3", "sphericity_mesh")
            },
            "at_border": int(columns["touches_border"].sum()),
            "background": {
                named[key]: found.background for key, found in measured.channels.items()
            },
        }
        if fucci is not None:
            keys = [column_names(channels)[channel_number(channels, c)] for c in fucci.channels]
            signals = np.stack([columns[f"{key}_mean"] for key in keys])
            self.phases[name] = found = tell_phases(signals, fucci, name)
            columns |= found.columns()
            about["fucci"] = found.summary()
            for note in found.notes:
                self._reporter.note(note)
        self.tables.append({**first, **columns})
        self.about.append(about)

    def write(self, folder: Path, settings: dict[str, Any]) -> MeasuredFiles:
        """Write all files."""
        summary = {"made": now(), "hitl": __version__, "settings": settings, "stacks": self.about}
        files = write_files(
            folder, joined(self.tables), self.channels, summary, self.phases,
            self._request.formats, self._reporter,
        )  # fmt: skip
        return MeasuredFiles(folder, files, summary, self.phases)


def measure_files(
    labels: Path,
    image: Path,
    request: MeasureRequest,
    reporter: Reporter,
    *,
    spacing_um: Spacing | None = None,
    axes: str | None = None,
) -> MeasuredFiles:
    """Measure the labels of one image file.

    Parameters
    ----------
    labels, image : Path
    request : MeasureRequest
        With an output folder.
    reporter : Reporter
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm where the image has none.
    axes : str, optional
        Axes of the image, where it does not say.

    Raises
    ------
    FormatError
        A file that cannot be read, labels that are not integers, no voxel size.
    MeasureError
        Shapes that differ, an unknown channel, or files that may not be replaced.
    """
    assert request.output is not None
    check_folder(request.output, request.overwrite)
    with contextlib.ExitStack() as files:
        opened = files.enter_context(open_image(image, axes=axes, spacing_um=spacing_um))
        label_axes = axes and axes.upper().replace("C", "")
        source = FileSource(files.enter_context(open_label_file(labels, label_axes)), opened)
        check_channels(request.fucci, source.channels)
        measured = measure_nuclei(source, request.options, reporter.progress)
    name, n = default_name(labels), len(measured.shapes)
    about = {
        "labels": str(labels),
        "image": str(image),
        "labels_of": labels.name,
        "spacing_um": list(source.spacing_um),
    }
    collected = Collected(request, reporter)
    first = {"stack": np.full(n, labels.name, object)}
    collected.add(name, source.channels, measured, first, about)
    return collected.write(request.output, settings(request))


def check_channels(fucci: FucciOptions | None, channels: tuple[str, ...]) -> None:
    """Refuse FUCCI channels that an image lacks, or that are one and the same.

    Raises
    ------
    MeasureError
    """
    from hitl.measure.errors import MeasureError

    if fucci is None:
        return
    first, second = (channel_number(channels, name) for name in fucci.channels)
    if first == second:
        raise MeasureError(
            f"--fucci: {fucci.channels[0]!r} and {fucci.channels[1]!r} are one channel; name the "
            "G1 marker's, then the S/G2/M marker's"
        )


def settings(request: MeasureRequest) -> dict[str, Any]:
    """Return what the numbers depend on, as JSON takes it."""
    fucci = request.fucci
    return {
        "neighbour_um": request.options.neighbour_um,
        "solidity": request.options.solidity,
        "fucci": None
        if fucci is None
        else {
            "channels": list(fucci.channels),
            "method": "given" if fucci.thresholds else fucci.method,
            "thresholds": list(fucci.thresholds) if fucci.thresholds else None,
        },
    }


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"
