"""Fixtures of the hostile input's tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.limits import refusal
from tests.hostile.projects import project, whole_project

__all__ = ["project", "whole_project"]


@pytest.fixture
def refused(project: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must be refused cleanly; gives its one line on standard error."""
    return lambda *arguments: refusal(capsys, project, arguments)
