"""Who corrects."""

from __future__ import annotations

import getpass

from hitl.project.folder import Project


def annotator_of(project: Project, name: str | None) -> str:
    """Return the name that was given, else the config's, else the account's."""
    return name or project.config.annotator or getpass.getuser()
