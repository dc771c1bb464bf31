"""Reading pickles of NumPy arrays and plain containers, in which nothing else can happen.

A pickle is a program: loading one may call any function, and a few bytes of it can ask for work
without end (a tuple of the same two tuples, 45 deep, as a key). So none is loaded: its steps are
read one by one, and values are put together here. Nothing of what they say is called, hashed,
compared or printed, and a forged array never reaches NumPy.
"""

from __future__ import annotations

import math
import mmap
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from annotations.errors import FormatError
from annotations.formats.format import translated

MOST_STEPS = 1_000_000
"""Steps of a pickle that are taken; a list of a million numbers has as many."""

_ADVICE = "save it again in the program that wrote it"
_NUMBERS = frozenset(
    ["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"]
)
_LARGEST_SIZE = 1 << 48
_MOST_AXES = 8


class UnsafePickleError(FormatError):
    """A pickle that asks for more than NumPy arrays and plain containers."""


class PickledDtype:
    """Stands for ``numpy.dtype``: its name and byte order only."""

    def __init__(self, name: object) -> None:
        self._name = name if isinstance(name, str) else ""
        self._order = "="

    def set_state(self, state: object) -> None:
        """Take what the pickle says of it."""
        if not isinstance(state, tuple) or len(state) < 5 or not _is_order(state[1]):
            raise UnsafePickleError("a dtype of unknown make")
        if any(part is not None for part in state[2:5]):
            raise UnsafePickleError("a dtype with fields")
        self._order = state[1]

    def number(self) -> np.dtype[Any]:
        """Return a NumPy dtype of numbers, or raise UnsafePickleError."""
        name = self._name
        if name not in _NUMBERS:
            raise UnsafePickleError(f"an array of {name[:20]!r}, which are no numbers")
        return np.dtype(f"{self._order}{name}")


class PickledArray:
    """Stands for ``numpy.ndarray``: what its state says, unread."""

    def __init__(self) -> None:
        self._state: tuple[Any, ...] | None = None

    def set_state(self, state: object) -> None:
        """Take what the pickle says of it."""
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
        if not isinstance(dtype, PickledDtype) or not isinstance(data, bytes | bytearray):
            raise UnsafePickleError("an array of Python objects where numbers are expected")
        sizes = shape if isinstance(shape, tuple) else (shape,)
        if len(sizes) > _MOST_AXES or not all(map(_is_size, sizes)):
            raise UnsafePickleError("an array of impossible shape")
        number = dtype.number()
        if math.prod(sizes) * number.itemsize != len(data):
            raise UnsafePickleError(f"an array of shape {sizes} in {len(data)} bytes")
        in_columns = type(fortran) in (bool, int) and fortran == 1
        return np.ndarray(sizes, number, data, order="F" if in_columns else "C")


def _is_order(value: object) -> bool:
    return isinstance(value, str) and value in ("<", ">", "|", "=")


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < _LARGEST_SIZE


class _Name(str):
    """A function or class that the pickle names; it is never looked up."""

    __slots__ = ()


class _Plain:
    """A plain value that is of no use here: a set, a path, a number of NumPy."""


class _Mark:
    """Where a group of values on the stack begins."""


_MARK = _Mark()
_ARRAYS = frozenset({"numpy.core", "numpy._core"})
_PLAIN = frozenset(
    _Name(name)
    for name in (
        "builtins.set", "builtins.frozenset", "builtins.complex", "pathlib.PosixPath",
        "pathlib.WindowsPath", *(f"{core}.multiarray.scalar" for core in _ARRAYS),
    )
)  # fmt: skip
_RECONSTRUCT = frozenset(f"{core}.multiarray._reconstruct" for core in _ARRAYS)
_FROM_BUFFER = frozenset(f"{core}.numeric._frombuffer" for core in _ARRAYS)
_NDARRAY, _DTYPE = "numpy.ndarray", "numpy.dtype"
_KNOWN = _PLAIN | _RECONSTRUCT | _FROM_BUFFER | {_NDARRAY, _DTYPE}


def _made(name: object, arguments: object) -> Any:
    """Return the stand-in of what a call would make."""
    if not isinstance(name, _Name) or not isinstance(arguments, tuple):
        raise UnsafePickleError("a call of what is no name")
    if name in _PLAIN:
        return _Plain()
    if name == _DTYPE:
        return PickledDtype(arguments[0] if arguments else "")
    array = PickledArray()
    if name in _FROM_BUFFER:
        if len(arguments) != 4:
            raise UnsafePickleError("an array of unknown make")
        data, dtype, shape, order = arguments
        array.set_state((1, shape, dtype, isinstance(order, str) and order == "F", data))
    return array


class _Machine:
    """Takes the steps of a pickle; its values are on a stack, those it names again in a memo."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def take(self, code: str, argument: Any) -> None:
        """Take one step."""
        if code in _ARGUMENTS:
            self._stack.append(argument)
        elif code in _CONSTANTS:
            self._stack.append(_CONSTANTS[code])
        elif code in _EMPTY:
            self._stack.append(_EMPTY[code]())
        elif code in _TUPLES:
            count = _TUPLES[code]
            self._stack.append(tuple(self._last(count)))
        elif code in _STEPS:
            _STEPS[code](self, argument)
        elif code not in _NOTHING:
            raise UnsafePickleError(f"the step {code}")

    def result(self) -> Any:
        """Return the value that is left."""
        return self._pop()

    def _pop(self) -> Any:
        (value,) = self._last(1)
        return value

    def _last(self, count: int) -> list[Any]:
        """Take values from the stack."""
        found = self._stack[len(self._stack) - count :] if count else []
        if len(found) < count or any(value is _MARK for value in found):
            raise UnsafePickleError("a value that is not there")
        del self._stack[len(self._stack) - count :]
        return found

    def _group(self) -> list[Any]:
        """Take the values from the last mark on, and the mark."""
        at = next((i for i in range(len(self._stack) - 1, -1, -1) if self._stack[i] is _MARK), None)
        if at is None:
            raise UnsafePickleError("a group without a beginning")
        found = self._stack[at + 1 :]
        del self._stack[at:]
        return found

    def _target(self, kind: type) -> Any:
        if not self._stack or not isinstance(self._stack[-1], (kind, _Plain)):
            raise UnsafePickleError(f"no {kind.__name__} where one is filled")
        return self._stack[-1]

    def _extend(self, values: list[Any]) -> None:
        target = self._target(list)
        if isinstance(target, list):
            target.extend(values)

    def _set_items(self, values: list[Any]) -> None:
        target = self._target(dict)
        if len(values) % 2:
            raise UnsafePickleError("a key without a value")
        for key, value in zip(values[::2], values[1::2], strict=True):
            # Other keys are of no use here, and hashing them may take for ever.
            if type(key) is str and isinstance(target, dict):
                target[key] = value

    def _name(self, module: object, name: object) -> None:
        if type(module) is not str or type(name) is not str:
            raise UnsafePickleError("a name that is no text")
        full = _Name(f"{module}.{name}")
        if full not in _KNOWN:
            raise UnsafePickleError(full[:200])
        self._stack.append(full)

    def _call(self) -> None:
        name, arguments = self._last(2)
        self._stack.append(_made(name, arguments))

    def _build(self) -> None:
        (state,) = self._last(1)
        if not self._stack or not isinstance(self._stack[-1], PickledArray | PickledDtype):
            raise UnsafePickleError("a state of what has none")
        self._stack[-1].set_state(state)

    def _put(self, index: object) -> None:
        if not self._stack or type(index) is not int:
            raise UnsafePickleError("a value that is not there")
        self._memo[index] = self._stack[-1]

    def _get(self, index: object) -> None:
        if type(index) is not int or index not in self._memo:
            raise UnsafePickleError("a value that is not there")
        self._stack.append(self._memo[index])

    def _set(self) -> None:
        self._group()
        self._stack.append(_Plain())

    def _dict(self) -> None:
        values = self._group()
        self._stack.append({})
        self._set_items(values)


_ARGUMENTS = frozenset(
    [
        "INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT",
        "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
        "BYTEARRAY8", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    ]
)  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "MARK": _MARK, "EMPTY_TUPLE": ()}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": _Plain,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NOTHING = frozenset({"PROTO", "FRAME", "STOP"})
_STEPS: dict[str, Callable[[_Machine, Any], object]] = {
    "POP": lambda m, _: m._stack.pop() if m._stack else m._last(1),
    "POP_MARK": lambda m, _: m._group(),
    "DUP": lambda m, _: m._stack.extend(m._last(1) * 2),
    "PUT": lambda m, index: m._put(index),
    "BINPUT": lambda m, index: m._put(index),
    "LONG_BINPUT": lambda m, index: m._put(index),
    "MEMOIZE": lambda m, _: m._put(len(m._memo)),
    "GET": lambda m, index: m._get(index),
    "BINGET": lambda m, index: m._get(index),
    "LONG_BINGET": lambda m, index: m._get(index),
    "LIST": lambda m, _: m._stack.append(m._group()),
    "TUPLE": lambda m, _: m._stack.append(tuple(m._group())),
    "DICT": lambda m, _: m._dict(),
    "FROZENSET": lambda m, _: m._set(),
    "APPEND": lambda m, _: m._extend(m._last(1)),
    "APPENDS": lambda m, _: m._extend(m._group()),
    "SETITEM": lambda m, _: m._set_items(m._last(2)),
    "SETITEMS": lambda m, _: m._set_items(m._group()),
    "ADDITEMS": lambda m, _: m._group(),
    "GLOBAL": lambda m, names: m._name(*names.partition(" ")[::2]),
    "STACK_GLOBAL": lambda m, _: m._name(*m._last(2)),
    "REDUCE": lambda m, _: m._call(),
    "NEWOBJ": lambda m, _: m._call(),
    "BUILD": lambda m, _: m._build(),
}


def read_object_npy(path: Path) -> Any:
    """Read a ``.npy`` file that ``numpy.save`` made of one Python object, without running it.

    Parameters
    ----------
    path : Path

    Returns
    -------
    object
        Plain containers, strings and numbers; arrays are `PickledArray`. Of a dict, the entries
        whose keys are strings.

    Raises
    ------
    UnsafePickleError
        It asks for anything but NumPy arrays and plain containers; nothing of it has been run.
    FormatError
        Not such a file, truncated, or of more steps than any such file has.
    """
    with translated(path, _ADVICE), path.open("rb") as file:
        shape, dtype = _header(file)
        if dtype != np.dtype(object) or shape != ():
            raise FormatError(
                f"{path}: expected one pickled object, got an array of {dtype} and shape {shape}; "
                "give the file that the program saved, or the labels as TIFF"
            )
        try:
            wrapper = _load(path, file)
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


def _load(path: Path, file: BinaryIO) -> Any:
    machine = _Machine()
    # A map gives no more than is there, whatever size a step claims.
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as steps:
        steps.seek(file.tell())
        for number, (code, argument, _) in enumerate(pickletools.genops(cast("IO[bytes]", steps))):
            if number == MOST_STEPS:
                raise FormatError(
                    f"{path}: holds more than {MOST_STEPS:,} values one by one, which no file of "
                    f"labels does; {_ADVICE}"
                )
            machine.take(code.name, argument)
    return machine.result()
