"""Length units as files write them."""

from __future__ import annotations

import pytest

from annotations.formats.units import micrometres


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
