"""What things in a project's folder are called."""

from __future__ import annotations

import re
from pathlib import Path

CARD = "card.json"
"""In a run's folder, once it is finished."""

RUN_NAME = re.compile(r"[a-z0-9]+-[0-9]{4,}")

STORE = "store"
"""Where the annotation store is when the config does not say."""


def run_folders(project: Path) -> list[Path]:
    """Return the folders of all runs, by name; what else lies there is none of the project's."""
    return sorted(
        f for f in (project / "runs").glob("*") if RUN_NAME.fullmatch(f.name) and f.is_dir()
    )


def evaluation_files(project: Path) -> list[Path]:
    """Return the files with the scores of a project's evaluations, oldest first."""
    found = project.glob("evaluations/*/scores.json")
    return sorted(file for file in found if file.parent.name.isdecimal() and file.is_file())
