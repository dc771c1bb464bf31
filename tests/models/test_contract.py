"""Every model has a class that inherits the contract."""

from __future__ import annotations

import re
from pathlib import Path

from models.registry import models_with

SHARED = {"stardist2d"}
"""Whose training and prediction are those of another model, at another number of axes."""


def test_every_trainer_is_held_to_the_contract() -> None:
    texts = (path.read_text("utf-8") for path in Path(__file__).parent.rglob("test_*.py"))
    held = {
        name
        for text in texts
        for name in re.findall(r"\(TrainerContract\):\n    model = \"(\w+)\"", text)
    }
    assert held >= models_with("trainer").keys() - SHARED
