"""What a file format is: one object that says what it holds, and how it is read and written.

Nothing heavy is imported here or by the files of the formats: the command line lists their names.
"""

from __future__ import annotations

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

    from labels.arrays import ArrayLike
    from labels.spacing import Spacing


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
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: str | None
    spacing_um: Mapping[str, float] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    spacing_hint: str = ""


class RawStack(ABC):
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
        (Z, Y, X) of their stack.
    axes : str, optional
        Axes of a file that does not say; without them the order in which the stack was exported
        where that is known, else the only order that fits the stack's shape.
    exported : bool
        Whether the file comes from an export of the stack.
    """

    shape: tuple[int, int, int]
    axes: str | None = None
    exported: bool = False


@dataclass(frozen=True)
class LabelsRead:
    """Labels of a file.

    Parameters
    ----------
    labels : ndarray of uint32, shape (Z, Y, X)
        Ids as the tool gave them.
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
    labels : ndarray of uint32, shape (Z, Y, X)
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    image : array, shape (C, Z, Y, X)
        For formats that hold the image as well.
    channels : sequence of str
        A name for each channel of `image`.
    image_file : Path
        Where the image will be, for formats that do not hold it.
    provenance : mapping
        Where the labels come from, for formats that can carry it.
    """

    labels: NDArray[np.uint32]
    spacing_um: Spacing
    image: ArrayLike
    channels: tuple[str, ...]
    image_file: Path
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
        File name of an export's labels, with ``{}`` for the stack.
    holds_image : bool
        Whether an export holds the image beside the labels.
    open : callable, optional
        Opens a file of voxels, an image or labels.
    read : callable, optional
        Reads the labels of a stack, where that is more than the voxels that `open` gives.
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
    open: Callable[[Path], RawStack] | None = None
    read: Callable[[Path, Expected], LabelsRead] | None = None
    write: Callable[[Path, Content], None] | None = None

    def __str__(self) -> str:
        return f"{self.title} ({', '.join(self.suffixes)})" if self.suffixes else self.title

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
    """Turn whatever a third-party parser raises on a bad file into a FormatError."""
    try:
        yield
    except AnnotationError:
        raise
    except FileNotFoundError as exc:
        raise FormatError(f"{path}: a part of it is missing ({exc}); {advice}") from exc
    except PermissionError as exc:
        raise FormatError(f"{path}: may not be read; change its permissions") from exc
    except Exception as exc:
        reason = " ".join(str(exc).split())[:200] or type(exc).__name__
        raise FormatError(f"{path}: cannot be read ({reason}); {advice}") from exc
