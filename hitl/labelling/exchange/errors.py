"""Errors of exporting and importing labels."""

from __future__ import annotations

from hitl.project.errors import HitlError


class ExchangeError(HitlError):
    """A destination that cannot be used, or a file of unknown make."""


class NothingChangedError(HitlError):
    """Labels that are those of the project already."""
