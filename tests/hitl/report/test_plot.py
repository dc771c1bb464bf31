"""Plots as SVG."""

from __future__ import annotations

import pytest

from hitl.report.plot import Plot, ticks
from tests.hitl.report.tags import Tags


@pytest.mark.parametrize(
    ("low", "high", "whole", "expected"),
    [
        (0, 1, False, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 3, True, [0, 1, 2, 3]),
        (0, 5000, True, [0, 1000, 2000, 3000, 4000, 5000]),
    ],
)
def test_ticks_are_round_numbers(
    low: float, high: float, whole: bool, expected: list[float]
) -> None:
    assert ticks(low, high, whole=whole) == pytest.approx(expected)


def test_text_in_a_plot_is_escaped_and_shortened_text_is_told_whole() -> None:
    plot = Plot(10, 10, 90, 90, (0.0, 2.0), (0.0, 1.0))
    plot.text("label", 0, 0, "<b>", "end", most=20)
    plot.text("", 0, 0, "x" * 30, most=5)
    plot.dot(plot.x(1.0), plot.y(0.25), colour=7, shape=0, tip='"&"')
    drawn = plot.svg("<title>")
    assert '<text class="label" x="0" y="0" text-anchor="end">&lt;b&gt;</text>' in drawn
    assert f">xxxx…<title>{'x' * 30}</title></text>" in drawn
    assert '<circle class="dot c1" cx="50.0" cy="70.0" r="5" data-tip="&#34;&amp;&#34;"/>' in drawn
    assert 'aria-label="&lt;title&gt;"' in drawn
    assert Tags(str(drawn)).open == []


@pytest.mark.parametrize("shape", range(4))
def test_series_differ_in_shape_too(shape: int) -> None:
    drawn = []
    for number in (shape, shape + 1):
        plot = Plot(0, 0, 10, 10, (0.0, 1.0), (0.0, 1.0))
        plot.dot(5, 5, 0, number, "")
        drawn.append(plot.svg("dots"))
    assert drawn[0] != drawn[1]
