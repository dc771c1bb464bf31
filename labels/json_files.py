"""JSON that comes from a file: bounded in size and depth, and holding only what JSON has.

What Python takes besides (NaN, infinity, numbers that a float cannot hold, a key given twice, half
a surrogate pair, lists in lists by the thousand) fails much later, far from the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from labels.files import read_plain

MOST_BYTES = 64 * 2**20
"""A row of scores takes about 200 bytes: room for those of 300,000 objects."""

MOST_VALUES = 4_000_000
"""Of which the shortest take a hundred times their text in memory."""

DEEPEST = 40
"""Levels of lists and mappings; what is written here has under ten."""

MOST_DIGITS = 20
"""Of a whole number: all that 64 bits hold."""


Kind = TypeVar("Kind")


class JsonError(ValueError):
    """Text that is not JSON, or JSON of a kind that nothing here writes."""


def read_json(
    path: Path, most_bytes: int = MOST_BYTES, *, linked: bool = False, nan: bool = False
) -> Any:
    """Return what a JSON file says.

    Parameters
    ----------
    path : Path
    most_bytes : int
        A larger file is not read.
    linked : bool
        Whether it may be a link that leads out of its folder.
    nan : bool
        See `parse_json`.

    Raises
    ------
    JsonError, UnfitFileError
    OSError
    """
    return parse_json(read_plain(path, most_bytes, linked=linked), nan=nan)


def parse_json(data: bytes, *, nan: bool = False) -> Any:
    """Return what JSON text says.

    Parameters
    ----------
    data : bytes
    nan : bool
        Whether NaN and infinity are taken, as Python writes them: a loss may be one.

    Raises
    ------
    JsonError
    """
    if sum(map(data.count, (b"{", b"[", b","))) > MOST_VALUES:
        raise JsonError(f"more than {MOST_VALUES:,} values")
    try:
        found = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_mapping,
            parse_int=_whole,
            parse_float=_number,
            parse_constant=float if nan else _constant,
        )
    except UnicodeDecodeError as error:
        raise JsonError("not UTF-8 text") from error
    except RecursionError as error:
        raise JsonError("lists in lists without end") from error
    except json.JSONDecodeError as error:
        raise JsonError(f"not JSON ({error.msg}, line {error.lineno})") from error
    _check_depth(found)
    _check_text(data, found)
    return found


def shaped(kind: type[Kind], data: Any) -> Kind:
    """Return JSON data as a dataclass or model; a text is no number, and a number no text.

    Raises
    ------
    JsonError
        The first thing that is wrong: a key that lacks, another kind of value, out of bounds.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        # As JSON, in which a list stands for a tuple even where types are strict.
        return TypeAdapter(kind).validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise JsonError(f"{where}: {first['msg']}" if where else first["msg"]) from error


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise JsonError("a key that is given twice")
    return found


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise JsonError(f"a number of {len(text):,} digits")
    return int(text)


def _number(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise JsonError("a number that is too large")
    return found


def _constant(name: str) -> NoReturn:
    raise JsonError(f"{name}, which is no number")


def _check_depth(found: Any) -> None:
    level = [found]
    for _ in range(DEEPEST):
        level = [part for one in level for part in _parts(one) if isinstance(part, dict | list)]
        if not level:
            return
    raise JsonError(f"lists in lists, {DEEPEST} deep and more")


def _parts(found: Any) -> Iterable[Any]:
    if isinstance(found, dict):
        return found.values()
    return found if isinstance(found, list) else ()


def _check_text(data: bytes, found: Any) -> None:
    if b"\\ud" in data or b"\\uD" in data:
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise JsonError("half a surrogate pair, which is no letter") from error
