"""What is known of a finished run: its model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_card(folder: Path) -> dict[str, Any]:
    """Return the model card of a finished run."""
    card: dict[str, Any] = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    return card
