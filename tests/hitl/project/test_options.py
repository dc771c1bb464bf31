"""What is typed as KEY=VALUE, CLASS=FILE and NAME=CHANNEL."""

from __future__ import annotations

from pathlib import Path

import pytest

from hitl.project.errors import ConfigError
from hitl.project.options import parse_classes, parse_labels, parse_words


def test_words_are_texts() -> None:
    assert parse_words(["condition=drug", "well=3", "note=a=b", "day=", "well=3"]) == {
        "condition": "drug",
        "well": "3",
        "note": "a=b",
        "day": "",
    }


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["drug"], "--meta drug: expected key=value"),
        (["=drug"], "--meta =drug: expected key=value"),
        ([" =drug"], "expected key=value"),
        (["well=1", "well=2"], "--meta well: expected one value, got 1 and 2"),
    ],
)
def test_words_without_meaning_are_refused(typed: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_words(typed)


def test_files_of_labels(tmp_path: Path) -> None:
    odd = tmp_path / "well=3.tif"
    odd.touch()
    assert parse_labels(["masks.tif"]) == ((None, Path("masks.tif")),)
    assert parse_labels(["nuclei=a.tif", "golgi=b=2.tif"]) == (
        ("nuclei", Path("a.tif")),
        ("golgi", Path("b=2.tif")),
    )
    assert parse_labels([str(odd)]) == ((None, odd),)
    assert parse_labels([f"golgi={odd}"]) == (("golgi", odd),)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["=a.tif"], "--labels =a.tif: expected FILE or CLASS=FILE"),
        (["golgi="], "--labels golgi=: expected FILE or CLASS=FILE"),
        (
            ["golgi=a.tif", "golgi=b.tif"],
            "b.tif: expected one file for each class, got a.tif",
        ),
        (["a.tif", "b.tif"], "--labels b.tif: .* say whose labels"),
    ],
)
def test_labels_of_no_class_or_of_one_twice_are_refused(typed: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_labels(typed)


def test_classes_and_their_channels() -> None:
    assert parse_classes(["nuclei", "golgi=mCherry", "pair=0, GFP"]) == (
        ("nuclei", ()),
        ("golgi", ("mCherry",)),
        ("pair", ("0", "GFP")),
    )


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["=GFP"], "expected NAME or NAME=CHANNEL"),
        (["golgi="], "expected NAME or NAME=CHANNEL"),
        (["golgi=,"], "expected NAME or NAME=CHANNEL"),
        (["golgi", "golgi=GFP"], "--class golgi: is given twice"),
    ],
)
def test_classes_without_meaning_are_refused(typed: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_classes(typed)
