"""The labels of a known image from a file, which need not say what its axes are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from annotations.errors import AxesError
from annotations.formats import checks
from annotations.formats.format import Expected, Format, LabelsRead, RawVoxels
from annotations.formats.sources import LabelSource
from labels.numbers import number_of


def read_field_labels(fmt: Format, path: Path, expected: Expected) -> LabelsRead:
    """Read labels that belong to an image from a file of a format.

    Raises
    ------
    LabelError
        No labels, or of another shape or number of time points.
    AxesError
        Axes that nothing states.
    FormatError
        A file that cannot be read, or a format without room for the time points.
    """
    if fmt.read is not None:
        fmt.check_times(path, expected.times)
        found = fmt.read(path, expected)
    else:
        assert fmt.open is not None, "a format that reads labels"
        found = read_voxels(fmt.open, path, expected)
    checks.check_labels_match(expected.planes, found.labels.shape, str(path))
    return found


def read_voxels(
    open_raw: Callable[[Path], RawVoxels], path: Path, expected: Expected
) -> LabelsRead:
    """Read the labels of an image from a file of voxels that may not say what its axes are.

    Raises
    ------
    LabelError
        Not labels, or of another shape or number of time points.
    AxesError
        Axes that nothing states.
    FormatError
        A file that cannot be read.
    """
    raw = open_raw(path)
    notes: tuple[str, ...] = ()
    try:
        source = LabelSource(raw)
    except AxesError:
        if expected.axes is None and _is_flattened(raw, expected):
            return _read_flattened(open_raw(path), expected)
        axes, notes = _unstated_axes(path, expected)
        source = LabelSource(open_raw(path), axes)
    if source.times != expected.times and expected.axes is not None:
        # A tool may call slices frames: what the user says wins.
        source.close()
        source = LabelSource(open_raw(path), expected.axes)
    with source:
        checks.check_labels_match(
            expected.shape, source.zyx, str(path), times=(expected.times, source.times)
        )
        return LabelsRead(source.read_all(), notes)


def _is_flattened(raw: RawVoxels, expected: Expected) -> bool:
    """Whether a file of unknown axes has the slices of all time points along one of them."""
    several = expected.times > 1 and expected.shape[0] > 1
    return several and tuple(n for n in raw.header.shape if n > 1) == expected.planes


def _read_flattened(raw: RawVoxels, expected: Expected) -> LabelsRead:
    """Read planes whose order only an export can tell."""
    planes = number_of(expected.planes[0], "plane")
    with LabelSource(raw, "ZYX") as source:
        if not expected.exported:
            raise AxesError(
                f"{raw.path}: holds {planes} and does not say which are slices and which time "
                "points; save it as an ImageJ hyperstack with both (Fiji: Image > Hyperstacks)"
            )
        return LabelsRead(
            source.read_all(),
            (f"{raw.path}: does not say what its {planes} are; taken as exported: all slices of a "
             "time point, then those of the next",),
        )  # fmt: skip


def _unstated_axes(path: Path, expected: Expected) -> tuple[str, tuple[str, ...]]:
    """Return the axes of a file that does not say, if only one answer is possible."""
    if expected.axes is not None:
        return expected.axes, ()
    sizes = dict(zip("TZYX", (expected.times, *expected.shape), strict=True))
    axes = "".join(axis for axis, size in sizes.items() if size > 1 or axis in "YX")
    shape = tuple(sizes[axis] for axis in axes)
    if not expected.exported and len(set(shape)) < len(shape):
        raise AxesError(
            f"{path}: does not say what its axes are, and several orders fit the image's shape "
            f"{shape}; state them with --axes, for example --axes {axes}"
        )
    why = "as exported" if expected.exported else "the only order that fits the image"
    order = ", ".join(axes)
    return axes, (f"{path}: does not say what its axes are; taken as {order} ({why})",)
