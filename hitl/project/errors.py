"""Errors that a person can do something about; each message says what to do."""


class HitlError(Exception):
    """Base of everything that `hitl` raises on purpose."""


class UsageError(HitlError):
    """Options that do not go together; exit code 2."""


class ConfigError(HitlError):
    """A configuration that is missing, unreadable or holds an unknown or invalid key."""


class ProjectError(HitlError):
    """A folder that is not a project, or already is one."""


class NothingToDoError(HitlError):
    """A step whose input is not there yet: no fields, no labels, no test field."""


class LeakageError(HitlError):
    """A test field's voxels would reach training."""


class MetricError(HitlError):
    """Label images that cannot be compared."""


class MeasureError(HitlError):
    """Labels, images or options that cannot be measured together."""
