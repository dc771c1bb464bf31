"""Reading pickles of NumPy arrays and plain containers, in which nothing else can happen.

A pickle is a program: loading one may call any function. Here every name that it asks for is
looked up in a short table, and even NumPy's own constructors are replaced by inert stand-ins,
since a forged dtype or array state can make NumPy itself read or free memory that is not its own.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from annotations.errors import FormatError
from annotations.formats.format import translated

_ADVICE = "save it again in the program that wrote it"
_NUMBERS = "biufc"
_DEEPEST_MEMO = 1 << 24
"""Python reserves memory up to the highest memo index; a file of any size could name 2**32."""


class UnsafePickleError(FormatError):
    """A pickle that asks for more than NumPy arrays and plain containers."""


class PickledDtype:
    """Stands for ``numpy.dtype``: its name and byte order only."""

    def __init__(self, name: object, align: object = False, copy: object = False) -> None:
        self._name = name
        self._order = "="

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "="):
            raise UnsafePickleError("a dtype of unknown make")
        if any(part is not None for part in state[2:5]):
            raise UnsafePickleError("a dtype with fields")
        self._order = state[1]

    def number(self) -> np.dtype[Any]:
        """Return a NumPy dtype of numbers, or raise UnsafePickleError."""
        name = self._name if isinstance(self._name, str) else ""
        if len(name) not in (2, 3) or name[0] not in _NUMBERS or not name[1:].isdecimal():
            raise UnsafePickleError(f"an array of {self._name!r}, which are no numbers")
        return np.dtype(f"{self._order}{name}")


class PickledArray:
    """Stands for ``numpy.ndarray``: what its state says, unread."""

    def __init__(self, *ignored: object) -> None:
        self._state: tuple[Any, ...] | None = None

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise UnsafePickleError("an array of unknown make")
        self._state = state[1:]

    @property
    def objects(self) -> list[Any] | None:
        """What an array of Python objects holds, None for numbers."""
        if self._state is None or not isinstance(self._state[3], list):
            return None
        return self._state[3]

    def numbers(self) -> NDArray[Any]:
        """Return the array.

        Raises
        ------
        UnsafePickleError
            Not numbers, or a size that does not fit its bytes.
        """
        if self._state is None:
            raise UnsafePickleError("an array without values")
        shape, dtype, fortran, data = self._state
        return _array(shape, dtype, bool(fortran), data)


def _array(shape: object, dtype: object, fortran: bool, data: object) -> NDArray[Any]:
    if not isinstance(dtype, PickledDtype) or not isinstance(data, bytes | bytearray):
        raise UnsafePickleError("an array of Python objects where numbers are expected")
    sizes = shape if isinstance(shape, tuple) else (shape,)
    if not all(type(size) is int and size >= 0 for size in sizes) or len(sizes) > 8:
        raise UnsafePickleError("an array of impossible shape")
    number = dtype.number()
    if math.prod(sizes) * number.itemsize != len(data):
        raise UnsafePickleError(f"an array of shape {sizes} in {len(data)} bytes")
    return np.frombuffer(data, number).reshape(sizes, order="F" if fortran else "C")


def _reconstruct(subtype: object, shape: object, kind: object) -> PickledArray:
    return PickledArray()


def _from_buffer(data: object, dtype: object, shape: object, order: object = "C") -> PickledArray:
    array = PickledArray()
    array.__setstate__((1, shape, dtype, order == "F", data))
    return array


def _scalar(dtype: object, data: object = b"") -> Any:
    return _array((), dtype, False, data).item()


def _path(*parts: object) -> str:
    return "/".join(map(str, parts))


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): PickledDtype,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "complex"): complex,
    ("pathlib", "PosixPath"): _path,
    ("pathlib", "WindowsPath"): _path,
}
for _core in ("numpy.core", "numpy._core"):
    _KNOWN[f"{_core}.multiarray", "_reconstruct"] = _reconstruct
    _KNOWN[f"{_core}.multiarray", "scalar"] = _scalar
    _KNOWN[f"{_core}.numeric", "_frombuffer"] = _from_buffer


class _InertUnpickler(pickle.Unpickler):
    """Finds the stand-ins, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a name, or raise UnsafePickleError."""
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise UnsafePickleError(f"{module}.{name}") from None


def read_object_npy(path: Path) -> Any:
    """Read a ``.npy`` file that ``numpy.save`` made of one Python object, without running it.

    Parameters
    ----------
    path : Path

    Returns
    -------
    object
        Plain containers, strings and numbers; arrays are `PickledArray`.

    Raises
    ------
    UnsafePickleError
        It asks for anything but NumPy arrays and plain containers; nothing of it has been run.
    FormatError
        Not such a file, or truncated.
    """
    with translated(path, _ADVICE), path.open("rb") as file:
        shape, dtype = _header(file)
        if dtype != np.dtype(object) or shape != ():
            raise FormatError(
                f"{path}: expected one pickled object, got an array of {dtype} and shape {shape}; "
                "give the file that the program saved, or the labels as TIFF"
            )
        try:
            wrapper = _load(file.read())
        except UnsafePickleError as exc:
            raise UnsafePickleError(
                f"{path}: asks for {exc}, but only NumPy arrays and plain containers are admitted: "
                "nothing of it was run; do not open this file elsewhere unless you trust its "
                "maker, and get the labels as TIFF instead"
            ) from exc
        objects = wrapper.objects if isinstance(wrapper, PickledArray) else None
        if objects is None or len(objects) != 1:
            raise FormatError(f"{path}: expected one pickled object, got none; {_ADVICE}")
        return objects[0]


def _header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    major, _ = np.lib.format.read_magic(file)
    # Version 3 differs from 2 by the encoding of field names, and objects have no fields.
    read = (
        np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(file)
    return shape, dtype


def _load(data: bytes) -> Any:
    for code, argument, _ in pickletools.genops(data):
        if isinstance(argument, int) and code.name.endswith("PUT") and argument > _DEEPEST_MEMO:
            raise UnsafePickleError(f"memo {argument}")
    return _InertUnpickler(io.BytesIO(data)).load()
