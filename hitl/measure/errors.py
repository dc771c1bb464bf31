"""What cannot be measured, and why."""

from __future__ import annotations

from hitl.project.errors import HitlError


class MeasureError(HitlError):
    """Labels, images or options that cannot be measured together."""
