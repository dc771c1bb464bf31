"""Names that a person types: of fields, annotators, runs, classes and files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.projects import good_labels

NAMES = {
    "empty": "",
    "a space": " ",
    "a slash": "a/b",
    "upwards": "../s",
    "absolute": "/etc/passwd",
    "a backslash": "a\\b",
    "a dot": ".",
    "two dots": "..",
    "a line break": "a\nb",
    "a bell": "a\a",
    "an escape": "\x1b[31mred",
    "a bidirectional override": "a\u202eb",
    "half a surrogate pair": "\udcff",
    "1,000 letters": "a" * 1000,
    "an option's look": "--s",
    "a percent sign and a format": "%s{0}",
    "markup": "[bold]s[/bold]",
    "a script": "<script>alert(1)</script>",
    "Windows' own": "CON",
}
"""What is no field of the project, and mostly no name at all."""

VERBS: dict[str, Callable[[Path, str], list[object]]] = {
    "export": lambda project, name: ["export", project, "--", name, project.parent / "out"],
    "blame": lambda project, name: ["blame", project, "--", name, 1],
    "queue": lambda project, name: ["queue", project, f"--field={name}"],
    "propose": lambda project, name: ["propose", project, f"--model={name}"],
    "promote": lambda project, name: ["promote", project, "--", name],
    "remove": lambda project, name: ["remove", project, "--yes", "--", name],
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("verb", VERBS)
def test_a_name_that_is_none(
    refused: Callable[..., str], project: Path, verb: str, name: str
) -> None:
    refused(*VERBS[verb](project, name))


@pytest.mark.parametrize(
    "name", [" ", "a\nb", "a\a", "\x1b[31mred", "a\u202eb", "\udcff", "a" * 1000, "model:starter"]
)
def test_an_annotator_with_such_a_name(
    refused: Callable[..., str], project: Path, tmp_path: Path, name: str
) -> None:
    labels = good_labels(tmp_path / "good.tif")
    refused("import", project, "s", labels, f"--annotator={name}")
