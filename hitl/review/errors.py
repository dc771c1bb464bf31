"""What can go wrong while a person corrects labels; each message says what to do."""

from hitl.project.errors import HitlError


class ReviewError(HitlError):
    """An edit that cannot be made: an object that is not there, points beside it, no gap."""


class DraftError(HitlError):
    """A draft that cannot be read, or that another window is writing."""


class DraftConflictError(DraftError):
    """A draft whose voxels somebody else has changed in the store since it was begun."""


class WindowError(HitlError):
    """A window that cannot be opened here."""
