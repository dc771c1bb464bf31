"""What a file format is: one object that says what it holds, and how it is read and written.

Nothing heavy is imported here or by the files of the formats: the command line lists their names.
"""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from annotations.errors import AnnotationError, FormatError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from annotations.volume import SlabSource
    from labels.arrays import ArrayLike
    from labels.spacing import Spacing


WITH_TIMES = ("tiff", "ome-zarr")
"""Formats of exports that hold several time points, and that every tool for them opens."""

MAX_LABEL = 2**32 - 1
"""The highest id that labels may have."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself, unchecked.

    Parameters
    ----------
    shape : tuple of int
        As stored.
    dtype : numpy dtype
        As stored.
    axes : str, optional
        One letter per dimension; None when the file does not say.
    spacing_um : mapping of str to float
        Voxel size in µm by axis letter, as far as the file states it.
    channels : tuple of str
        Channel names, as far as the file states them.
    spacing_hint : str
        What explains a missing voxel size.
    time_step_s : float, optional
        Seconds between time points, as far as the file states it.
    lossy : bool
        Whether its voxels are not those that were saved, which no label survives.
    palette : bool
        Whether its voxels are numbers of colours, which no intensities are.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: str | None
    spacing_um: Mapping[str, float] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    spacing_hint: str = ""
    time_step_s: float | None = None
    lossy: bool = False
    palette: bool = False


class RawVoxels(ABC):
    """An open file of voxels.

    Parameters
    ----------
    path : Path
    header : Header
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self.header = header

    @abstractmethod
    def cut(self, index: tuple[slice, ...]) -> NDArray[Any]:
        """Return the voxels of `index`, one slice per stored dimension, all dimensions kept."""

    @abstractmethod
    def close(self) -> None:
        """Release the file; calling it again does nothing."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What is known of labels before their file is read.

    Parameters
    ----------
    shape : (int, int, int)
        (Z, Y, X) of one time point of their image.
    times : int
        Time points.
    axes : str, optional
        Axes of a file that does not say; without them the order in which labels are exported
        where that is known, else the only order that fits the image's shape.
    exported : bool
        Whether the file comes from an export of the labels.
    """

    shape: tuple[int, int, int]
    times: int = 1
    axes: str | None = None
    exported: bool = False

    @property
    def planes(self) -> tuple[int, int, int]:
        """(T * Z, Y, X): the slices of all time points, time after time."""
        depth, height, width = self.shape
        return self.times * depth, height, width


@dataclass(frozen=True)
class LabelsRead:
    """Labels of a file.

    Parameters
    ----------
    labels : ndarray of uint32, shape (T * Z, Y, X)
        Ids as the tool gave them, time point after time point.
    notes : tuple of str
        What the user must know of how they were read.
    """

    labels: NDArray[np.uint32]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Content:
    """What goes into an export.

    Parameters
    ----------
    labels : array or slab source of integer, shape (T * Z, Y, X)
        The slices of all time points, time after time.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    image : array, shape (T, C, Z, Y, X)
        For formats that hold the image as well.
    channels : sequence of str
        A name for each channel of `image`.
    image_file : Path
        Where the image will be, for formats that do not hold it.
    times : int
        Time points.
    time_step_s : float, optional
        Seconds between time points, where known.
    provenance : mapping
        Where the labels come from, for formats that can carry it.
    """

    labels: ArrayLike | SlabSource
    spacing_um: Spacing
    image: ArrayLike
    channels: tuple[str, ...]
    image_file: Path
    times: int = 1
    time_step_s: float | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Format:
    """One file format; what it cannot do is left out.

    Parameters
    ----------
    name : str
        As `--format` and messages have it.
    title : str
        As people know it.
    suffixes : tuple of str
        What the names of its files end in; none where a file alone does not show its format.
    folder_marks : tuple of str
        Files of which a folder of this format holds one; none where it is a single file.
    companion : str
        What the name of a file that is always beside it has more.
    tool : str
        Who opens an export.
    hint : str
        What a person does with an export.
    export_name : str
        File name of an export's labels, with ``{}`` for what they belong to.
    holds_image : bool
        Whether an export holds the image beside the labels.
    holds_times : bool
        Whether labels of several time points fit into a file.
    open : callable, optional
        Opens a file of voxels, an image or labels.
    read : callable, optional
        Reads the labels of an image, where that is more than the voxels that `open` gives.
    write : callable, optional
        Writes an export to a path that is not there; the path appears only when complete.
    """

    name: str
    title: str
    suffixes: tuple[str, ...] = ()
    folder_marks: tuple[str, ...] = ()
    companion: str = ""
    tool: str = ""
    hint: str = ""
    export_name: str = ""
    holds_image: bool = False
    holds_times: bool = False
    open: Callable[[Path], RawVoxels] | None = None
    read: Callable[[Path, Expected], LabelsRead] | None = None
    write: Callable[[Path, Content], None] | None = None

    def __str__(self) -> str:
        return f"{self.title} ({', '.join(self.suffixes)})" if self.suffixes else self.title

    def check_times(self, path: Path, times: int) -> None:
        """Refuse several time points where a file has room for one.

        Raises
        ------
        FormatError
            Naming the formats that hold several.
        """
        if times > 1 and not self.holds_times:
            raise FormatError(
                f"{path}: {self.title} hold one time point, got {times}; choose the format "
                f"{' or '.join(WITH_TIMES)}, or one time point"
            )

    def recognises(self, path: Path, stated: str | None = None) -> bool:
        """Whether a file is of this format.

        Parameters
        ----------
        path : Path
        stated : str, optional
            Name of the format that the file is said to have; of use where no file shows it.
        """
        if self.folder_marks:
            return path.is_dir() and any((path / name).exists() for name in self.folder_marks)
        if not self.suffixes:
            return stated == self.name
        if not path.name.lower().endswith(self.suffixes) or path.is_dir():
            return False
        return path.with_name(path.name + self.companion).is_file()


def recognise(path: Path, formats: Iterable[Format], stated: str | None = None) -> Format:
    """Return the format of a file.

    Parameters
    ----------
    path : Path
    formats : iterable of Format
        Those that will do; the last that recognises the file is its own.
    stated : str, optional
        Name of the format that the file is said to have; of use where no file shows it.

    Raises
    ------
    FormatError
        No such file, an empty one, or one of none of the formats.
    """
    known = list(formats)
    if not path.exists():
        raise FormatError(f"{path}: there is no such file; check the path")
    if not path.is_file() and not path.is_dir():
        raise FormatError(
            f"{path}: expected a file or a folder, got a pipe, a socket or a device; copy what it "
            "gives into a file"
        )
    for found in reversed(known):
        if found.recognises(path, stated):
            if path.is_file() and path.stat().st_size == 0:
                raise FormatError(f"{path}: is empty (0 bytes); copy or export it again")
            return found
    raise FormatError(f"{path}: {_why_unknown(path, known)}")


def _why_unknown(path: Path, formats: list[Format]) -> str:
    supported = ", ".join(str(found) for found in formats if found.suffixes)
    folders = [found for found in formats if found.folder_marks]
    if path.is_dir():
        lacks = " or ".join(f"{f.title} (it has no {', '.join(f.folder_marks)})" for f in folders)
        return f"is a folder, but not of {lacks}; give one of {supported}"
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return (
            "an .npz archive may hold several arrays; save the one to use with numpy.save as .npy"
        )
    for found in folders:
        if suffix in found.suffixes:
            return f"expected a folder of {found.title}, got a file; unpack it first"
    return f"files with the suffix {suffix!r} cannot be read; save it as one of {supported}"


@contextmanager
def translated(path: Path, advice: str) -> Iterator[None]:
    """Turn whatever a third-party parser raises on a bad file into a FormatError.

    The block holds a parser's calls and what is asked of its answer; the error names the cause. A
    slip of our own code in it stays what it is.
    """
    try:
        yield
    except AnnotationError:
        raise
    except FileNotFoundError as exc:
        raise FormatError(f"{path}: a part of it is missing ({exc}); {advice}") from exc
    except PermissionError as exc:
        raise FormatError(f"{path}: may not be read; change its permissions") from exc
    except MemoryError as exc:
        raise FormatError(f"{path}: asks for more memory than there is; {advice}") from exc
    except RecursionError as exc:
        raise FormatError(f"{path}: is nested without end; {advice}") from exc
    except Exception as exc:
        if isinstance(exc, _SLIPS) and _is_ours(exc):
            raise
        reason = " ".join(str(exc).split())[:200] or type(exc).__name__
        if isinstance(exc, KeyError):
            reason = f"it lacks {reason}"
        raise FormatError(f"{path}: cannot be read ({reason}); {advice}") from exc


_SLIPS = (AssertionError, AttributeError, NameError, TypeError)
"""What mistakes in a program raise, though parsers let damage end in them, too."""


def _is_ours(exc: BaseException) -> bool:
    """Whether the code that raised an error belongs to this package."""
    *_, (frame, _) = traceback.walk_tb(exc.__traceback__)
    return str(frame.f_globals.get("__name__")).startswith(f"{__name__.partition('.')[0]}.")
