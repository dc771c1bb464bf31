"""Fixtures of the toolkit's tests."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from hitl.cli import run


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run a command that must succeed and give what it prints as JSON."""

    def call(*arguments: object) -> dict[str, Any]:
        capsys.readouterr()
        code = run([*map(str, arguments), "--json"])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        result: dict[str, Any] = json.loads(printed.out)
        return result

    return call
