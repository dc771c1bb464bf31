"""What a sweep cannot do."""

from hitl.project.errors import HitlError


class SweepError(HitlError):
    """A sweep that is too large, runs already, or of which no cell could be trained."""
