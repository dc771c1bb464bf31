"""Everything that is measured of the nuclei of one field."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from hitl.measure.intensity import Intensities, intensity_columns, measure_channel
from hitl.measure.neighbours import depth_columns, neighbour_columns
from hitl.measure.requests import MeasureOptions
from hitl.measure.shapes import Column, Shapes, measure_shapes, shape_columns, solidity_column
from hitl.measure.sources import VoxelSource
from labels.numbers import number_of
from labels.progress import Progress, no_progress


@dataclass(frozen=True, eq=False)
class Measured:
    """The nuclei of one field.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (N,)
        ``id`` first.
    shapes : Shapes
    channels : mapping of str to Intensities
        By the channel's name in columns.
    notes : tuple of str
        What the reader of the numbers must know.
    """

    columns: dict[str, Column]
    shapes: Shapes
    channels: dict[str, Intensities] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def measure_nuclei(
    source: VoxelSource,
    options: MeasureOptions | None = None,
    progress: Progress = no_progress,
) -> Measured:
    """Measure every object of a field.

    Parameters
    ----------
    source : VoxelSource
        Labels (Z, Y, X) with their voxel size, and the channels of the image if there is one.
    options : MeasureOptions, optional
    progress : callable, optional
        Takes what is done, what there is in all and a name for it.

    Returns
    -------
    Measured

    Raises
    ------
    MeasureError
        Negative ids, or intensities that are not finite.
    """
    options = options or MeasureOptions()
    shapes = measure_shapes(source, progress)
    columns: dict[str, Column] = {"id": shapes.ids, **shape_columns(shapes)}
    if options.solidity:
        columns["solidity"] = solidity_column(shapes, progress)
    columns |= neighbour_columns(shapes, options.neighbour_um, progress)
    columns |= depth_columns(shapes)
    channels: dict[str, Intensities] = {}
    notes = [] if len(shapes) else ["there is no object: the table has columns but no rows"]
    for index, name in enumerate(column_names(source.channels)):
        found = measure_channel(source, shapes, index, progress)
        columns |= intensity_columns(name, found, shapes.voxels)
        channels[name] = found
        notes += _channel_notes(source.channels[index], found)
    return Measured(columns, shapes, channels, tuple(notes))


def column_names(channels: Sequence[str]) -> list[str]:
    """Return names of channels as columns carry them: lower case, digits and underscores."""
    plain = [re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "ch" for name in channels]
    return [
        name if plain.count(name) == 1 else f"{name}_{number}" for number, name in enumerate(plain)
    ]


def _channel_notes(name: str, found: Intensities) -> list[str]:
    notes = []
    if found.constant:
        notes.append(
            f"channel {name}: the same value everywhere in {number_of(found.constant, 'object')}; "
            "entropy, skewness and kurtosis are set to 0 there"
        )
    if found.background is None:
        notes.append(
            f"channel {name}: every voxel is labelled, so there is no background to subtract; "
            "these columns are empty"
        )
    return notes
