"""Runs `hitl correct` under Xvfb at one time point of a class that is seen in two channels.

Usage: python -m tests.hitl.review.window.series_child PROJECT SCREENSHOTS
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from qtpy.QtCore import Qt

from hitl.cli import run
from tests.hitl.review.volumes import field
from tests.hitl.review.window.person import Person, send


def correct(person: Person) -> None:
    """See both channels in their colours, and delete the debris of that time point."""
    window = person.window
    assert window.viewer.title == "Correct s:golgi t1 — ann"
    dapi, gm130 = window.layers.images
    assert (dapi.name, gm130.name) == ("image dapi", "image gm130")
    for layer, colour in ((dapi, (0x56, 0xB4, 0xE9)), (gm130, (0xE6, 0x9F, 0x00))):
        brightest = layer.colormap.map(np.ones(1))[0, :3]
        assert np.allclose(brightest, np.array(colour) / 255, atol=0.01)
        assert layer.blending == "additive"
    assert np.array_equal(gm130.data, field()[0][::-1] // 2)
    person.click(4, 26, 34)
    assert window.selected == 12
    person.shot("series")
    person.press(Qt.Key.Key_X)
    assert person.said() == "Deleted 12.", person.said()
    person.commit("12 was debris", "series_dialog")
    assert person.said().startswith("Round 1 is committed"), person.said()


if __name__ == "__main__":
    send(correct, Path(sys.argv[2]))
    golgi = ["correct", sys.argv[1], "s:golgi", "--time", "1", "--limit", "0", "--annotator", "ann"]
    sys.exit(run(golgi))
