"""The error of every package about label images; each message says what to do."""


class LabelImageError(Exception):
    """An array that is not a label image, whose ids do not fit, or that cannot be compared."""


class ToldWarning(UserWarning):
    """What a person must know although the work goes on."""
