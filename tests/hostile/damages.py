"""What can become of a JSON file, by accident or on purpose."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

OUTSIDE = Path(__file__)
"""Any file that is not the project's."""


def _written(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data) and None


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _huge(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(65 * 2**20)


def _link(target: Path) -> Callable[[Path], None]:
    def link(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return link


def _link_to_a_copy(path: Path) -> None:
    """Lead out of the folder to what would be good: it is another's to change."""
    copy = path.parent.parent / f"copy_of_{path.name}"
    path.rename(copy)
    path.symlink_to(copy)


def _twice(path: Path) -> None:
    text = path.read_text().strip()
    assert text.startswith("{")
    key = next(iter(json.loads(text)))
    path.write_text(f'{{"{key}": null, {text[1:]}')


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": _written(b""),
    "text": _written(b"no JSON"),
    "cut": _cut,
    "zeros": _zeros,
    "a list": _written(b"[1]"),
    "a number": _written(b"1"),
    "null": _written(b"null"),
    "a text": _written(b'"a"'),
    "an empty mapping": _written(b"{}"),
    "NaN": _written(b"NaN"),
    "infinite": _written(b'{"model": Infinity}'),
    "1e999": _written(b'{"model": 1e999}'),
    "5,000 digits": _written(b'{"model": ' + b"9" * 5000 + b"}"),
    "100,000 open lists": _written(b"[" * 100_000),
    "900 lists": _written(b'{"model": ' + b"[" * 900 + b"]" * 900 + b"}"),
    "a million values": _written(b'{"model": [' + b"{}," * 3_000_000 + b"0]}"),
    "not UTF-8": _written(b'{"model": "\xff"}'),
    "UTF-16": _written('{"model": 1}'.encode("utf-16")),
    "half a letter": _written(b'{"model": "\\ud800"}'),
    "a key twice": _twice,
    "65 MiB": _huge,
    "a folder": _folder,
    "a pipe": _pipe,
    "a link to a strange file": _link(OUTSIDE),
    "a link to nothing": _link(Path("nowhere")),
    "a link to itself": lambda path: _link(path)(path),
    "a link to an endless file": _link(Path("/dev/zero")),
    "a link to a good file elsewhere": _link_to_a_copy,
}


def edited(path: Path, **values: Any) -> None:
    """Change values of a JSON file; a checksum goes, since who means harm makes no mistake."""
    content = json.loads(path.read_text())
    content.pop("checksum", None)
    for place, value in values.items():
        *above, last = place.split("__")
        inner = content
        for key in above:
            inner = inner[int(key) if isinstance(inner, list) else key]
        if value is DROP:
            del inner[last]
        else:
            inner[last] = value
    path.write_text(json.dumps(content))


DROP = "(dropped)"
"""In place of a value: the key is taken away."""
