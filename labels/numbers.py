"""Numbers as people write them."""

from __future__ import annotations

from collections.abc import Iterable


def unfit_for_float32(low: float, high: float) -> str | None:
    """Return in words why 32-bit floats cannot hold a range, None where they can.

    Models, and what is computed from intensities, see them so.

    >>> unfit_for_float32(0, 1e302)
    'values from 0 to 1e+302, which 32-bit floats cannot hold'
    >>> unfit_for_float32(0, 65535) is None
    True
    """
    import numpy as np

    limits = np.finfo(np.float32)
    if max(-low, high, high - low) > float(limits.max):
        return f"values from {low:g} to {high:g}, which 32-bit floats cannot hold"
    if low < high and (np.float32(low) == np.float32(high) or high - low < float(limits.tiny)):
        return f"values from {low!r} to {high!r}, which 32-bit floats cannot tell apart"
    return None


def spans(numbers: Iterable[int]) -> str:
    """Return whole numbers in short.

    >>> spans((0, 1, 2, 5))
    '0-2, 5'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def number_of(count: float, what: str, more: str = "") -> str:
    """Return how many of something there are, for people.

    Parameters
    ----------
    count : int or float
    what : str
        One of it.
    more : str
        Several of it; with an s where not given.

    >>> number_of(1, "nucleus", "nuclei"), number_of(2, "field"), number_of(1.5, "hour")
    ('1 nucleus', '2 fields', '1.5 hours')
    """
    said = f"{count:g}" if isinstance(count, float) else str(count)
    return f"{said} {what if count == 1 else more or what + 's'}"
