"""Errors that a person can do something about; each message says what to do."""


class ModelError(Exception):
    """Base of everything that `models` raises on purpose."""


class UnknownModelError(ModelError):
    """A name that is not in the registry."""


class WeightsUnavailableError(ModelError):
    """Pretrained weights are neither on this machine nor to be had from the network."""


class CheckpointError(ModelError):
    """A run folder or weights file that is missing, damaged or of another architecture."""


class TrainingDataError(ModelError):
    """Training or validation samples that cannot be learned from."""


class TrainingDivergedError(ModelError):
    """The loss became NaN or infinite; the last good checkpoint is kept."""


class TrainingMemoryError(ModelError):
    """Not even the smallest part of a training step fits into memory."""


class TileMemoryError(ModelError):
    """The memory does not hold even the smallest tile."""


class ImageError(ModelError):
    """An image that a segmenter cannot take (dimensions, size, non-finite or constant values)."""
