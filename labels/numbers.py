"""Numbers as people write them."""

from __future__ import annotations

from collections.abc import Iterable


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


def number_of(count: int, what: str, more: str = "") -> str:
    """Return how many of something there are, for people.

    Parameters
    ----------
    count : int
    what : str
        One of it.
    more : str
        Several of it; with an s where not given.

    >>> number_of(1, "nucleus", "nuclei"), number_of(2, "field")
    ('1 nucleus', '2 fields')
    """
    return f"{count} {what if count == 1 else more or what + 's'}"
