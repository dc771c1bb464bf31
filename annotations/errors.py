"""Errors that a person can do something about; each message says what to do."""

from labels.errors import ToldWarning


class AnnotationError(Exception):
    """Base of everything that `annotations` raises on purpose."""


class FormatError(AnnotationError):
    """A file that is missing, not an image, truncated, or of a kind that cannot be read."""


class AxesError(FormatError):
    """Axes that are ambiguous or not those of a 3D stack."""


class SpacingError(FormatError):
    """No voxel size in the file, none given, or one that is not positive."""


class VoxelValueError(FormatError):
    """NaN, infinite or constant voxels."""


class LabelError(FormatError):
    """Labels that are not integers, are negative, or do not match their image."""


class StoreError(AnnotationError):
    """A store that cannot be created, opened or written."""


class DamagedStoreError(StoreError):
    """Something that was committed is gone or is not what was written."""


class StoreLockedError(StoreError):
    """Another process holds the store."""


class ConflictError(StoreError):
    """The store has changed since the work began, in the same place."""


class UnknownFieldError(StoreError):
    """A field name that the store does not hold, or holds already."""


class UnknownRoundError(StoreError):
    """A round that the store does not hold."""


class StoreWarning(ToldWarning):
    """What a person must know of a store although the work goes on."""
