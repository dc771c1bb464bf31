"""Measurements of several fields put together; and those of two files."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.formats import label_axes, open_image
from hitl import __version__
from hitl.labelling.add import default_name
from hitl.labelling.given_labels import open_label_file
from hitl.measure.fucci import Phases, tell_phases
from hitl.measure.nuclei import Measured, column_names, measure_nuclei
from hitl.measure.output import check_folder, write_files
from hitl.measure.requests import FucciOptions, MeasureRequest, parse_formats
from hitl.measure.sources import FileSource
from hitl.measure.table import joined
from hitl.project.classes import channel_number
from hitl.project.errors import MeasureError
from hitl.project.folder import now
from hitl.project.reporter import Reporter


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
        By field and class; empty when none were asked for.
    """

    folder: Path
    files: dict[str, Path]
    summary: dict[str, Any]
    phases: dict[str, Phases]


class Collected:
    """The tables of several fields, as they are measured one after the other."""

    def __init__(self, request: MeasureRequest, reporter: Reporter) -> None:
        self._request, self._reporter = request, reporter
        self.tables: list[dict[str, Any]] = []
        self.about: list[dict[str, Any]] = []
        self.phases: dict[str, Phases] = {}
        self.channels: dict[str, str] = {}
        self._signals: dict[str, list[tuple[int, NDArray[np.float64]]]] = {}

    def add(
        self,
        name: str,
        population: str | None,
        channels: tuple[str, ...],
        measured: Measured,
        first: dict[str, Any],
        about: dict[str, Any],
    ) -> None:
        """Add one time point of a field: `first` holds the columns before those of `measured`.

        Thresholds of FUCCI are those of a population: a class in a field, at all its time points;
        None for what has no phases.
        """
        fucci = self._request.phases
        columns = dict(measured.columns)
        named = dict(zip(column_names(channels), channels, strict=True))
        self.channels.update(named)
        for note in measured.notes:
            self._reporter.note(f"{name}: {note}")
        about = {
            "field": name,
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
        if fucci is not None and population is not None:
            keys = [column_names(channels)[channel_number(channels, c)] for c in fucci.channels]
            signals = np.stack([columns[f"{key}_mean"] for key in keys])
            self._signals.setdefault(population, []).append((len(self.tables), signals))
        self.tables.append({**first, **columns})
        self.about.append(about)

    def _tell_phases(self, fucci: FucciOptions) -> None:
        for population, parts in self._signals.items():
            signals = np.concatenate([found for _, found in parts], axis=1)
            self.phases[population] = whole = tell_phases(signals, fucci, population)
            for note in whole.notes:
                self._reporter.note(note)
            start = 0
            for at, found in parts:
                stop = start + found.shape[1]
                part = whole.part(slice(start, stop))
                self.tables[at] |= part.columns()
                self.about[at]["fucci"] = part.summary()
                start = stop

    def write(self, folder: Path, settings: dict[str, Any]) -> MeasuredFiles:
        """Tell the phases, where they were asked for, and write all files."""
        if self._request.phases is not None:
            self._tell_phases(self._request.phases)
        summary = {"made": now(), "hitl": __version__, "settings": settings, "fields": self.about}
        files = write_files(
            folder, joined(self.tables), self.channels, summary, self.phases,
            parse_formats(self._request.formats), self._reporter,
        )  # fmt: skip
        return MeasuredFiles(folder, files, summary, self.phases)


def measure_files(request: MeasureRequest, reporter: Reporter) -> MeasuredFiles:
    """Measure the labels of one image file.

    Raises
    ------
    FormatError
        A file that cannot be read, labels that are not integers, no voxel size.
    MeasureError
        Shapes that differ, an unknown channel, or files that may not be replaced.
    """
    labels, image, axes = request.labels, request.image, request.axes
    assert labels is not None and image is not None and request.output is not None
    check_folder(request.output, request.overwrite)
    with contextlib.ExitStack() as files:
        opened = files.enter_context(open_image(image, axes=axes, spacing_um=request.spacing_um))
        label_file = files.enter_context(open_label_file(labels, label_axes(axes)))
        source = FileSource(label_file, opened)
        check_channels(request.phases, source.channels)
        measured = measure_nuclei(source, request.options, reporter.progress)
    name, n = default_name(labels), len(measured.shapes)
    about = {
        "labels": str(labels),
        "image": str(image),
        "labels_of": labels.name,
        "spacing_um": list(source.spacing_um),
    }
    collected = Collected(request, reporter)
    first = {"field": np.full(n, labels.name, object)}
    collected.add(name, name, source.channels, measured, first, about)
    return collected.write(request.output, settings(request))


def check_channels(fucci: FucciOptions | None, channels: tuple[str, ...]) -> None:
    """Refuse FUCCI channels that an image lacks, or that are one and the same.

    Raises
    ------
    ChannelError, MeasureError
    """
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
    fucci = request.phases
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
