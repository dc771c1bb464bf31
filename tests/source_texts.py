"""Every text in the source that a person may come to read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("hitl", "annotations", "models", "labels")


@dataclass(frozen=True)
class Text:
    """A string literal; what an f-string puts in stands as ``{}``.

    Parameters
    ----------
    module : str
        Path from the root.
    line : int
    text : str
    parts : tuple of (str, str)
        Source of what an f-string puts in, and its format.
    docstring : bool
    """

    module: str
    line: int
    text: str
    parts: tuple[tuple[str, str], ...] = ()
    docstring: bool = False

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.text!r}"


@cache
def source_texts() -> tuple[Text, ...]:
    """Return every string literal of the packages."""
    return tuple(
        text
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for text in _texts(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    )


def _texts(module: str, source: str) -> Iterator[Text]:
    nodes = list(ast.walk(ast.parse(source)))
    inside = {
        id(value) for node in nodes if isinstance(node, ast.JoinedStr) for value in node.values
    }
    alone = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            yield _joined(module, node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) in inside:
                continue
            yield Text(module, node.lineno, node.value, docstring=id(node) in alone)


def _joined(module: str, node: ast.JoinedStr) -> Text:
    text, parts = "", []
    for value in node.values:
        if isinstance(value, ast.Constant):
            text += str(value.value)
        else:
            assert isinstance(value, ast.FormattedValue)
            text += "{}"
            spec = ast.unparse(value.format_spec)[2:-1] if value.format_spec else ""
            parts.append((ast.unparse(value.value), spec))
    return Text(module, node.lineno, text, tuple(parts))
