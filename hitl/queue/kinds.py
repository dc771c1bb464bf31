"""The kinds of error that a model makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

ErrorKind = Literal["merged", "split", "missed", "spurious", "shifted"]

KINDS: Mapping[str, str] = {
    "merged": "one object covers several nuclei",
    "split": "a nucleus is cut into several objects",
    "missed": "nothing is predicted at a nucleus",
    "spurious": "an object where there is no nucleus",
    "shifted": "found, but the outline fits badly",
}
"""What each is, as `metrics.taxonomy.Taxonomy` tells them apart, for people."""
