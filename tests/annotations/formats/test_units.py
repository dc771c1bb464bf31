"""Units of length and time as files write them."""

from __future__ import annotations

import pytest

from annotations.formats.units import micrometres, seconds


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        ("um", 1),
        ("µm", 1),
        ("μm", 1),
        ("micron", 1),
        ("microns", 1),
        ("nm", 1e-3),
        ("mm", 1e3),
        ("Å", 1e-4),
        ("angstrom", 1e-4),
        ("micrometer", 1),
        ("m", 1e6),
        ("cm", 1e4),
        ("pm", 1e-6),
        ("in", 25400),
        ("pixel", None),
        ("reference frame", None),
        ("", None),
        (None, None),
    ],
)
def test_units(unit: str | None, um: float | None) -> None:
    assert micrometres(1, unit) == (None if um is None else pytest.approx(um))


@pytest.mark.parametrize(
    ("unit", "s"),
    [
        ("s", 1),
        ("sec", 1),
        ("ms", 1e-3),
        ("µs", 1e-6),
        ("millisecond", 1e-3),
        ("second", 1),
        ("min", 60),
        ("minute", 60),
        ("h", 3600),
        ("day", 86_400),
        ("frame", None),
        ("", None),
        (None, None),
    ],
)
def test_times(unit: str | None, s: float | None) -> None:
    assert seconds(1, unit) == (None if s is None else pytest.approx(s))
