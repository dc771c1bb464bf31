"""Units of length and time as image files write them, in µm and s."""

from __future__ import annotations

_PREFIXES = {
    "y": ("yocto", -24),
    "z": ("zepto", -21),
    "a": ("atto", -18),
    "f": ("femto", -15),
    "p": ("pico", -12),
    "n": ("nano", -9),
    "u": ("micro", -6),
    "\u00b5": ("micro", -6),  # micro sign
    "\u03bc": ("micro", -6),  # Greek mu
    "m": ("milli", -3),
    "c": ("centi", -2),
    "d": ("deci", -1),
    "": ("", 0),
    "da": ("deca", 1),
    "h": ("hecto", 2),
    "k": ("kilo", 3),
    "M": ("mega", 6),
    "G": ("giga", 9),
    "T": ("tera", 12),
    "P": ("peta", 15),
    "E": ("exa", 18),
    "Z": ("zetta", 21),
    "Y": ("yotta", 24),
}


def _table() -> dict[str, float]:
    """Spellings of OME-XML (symbols), OME-Zarr (words) and ImageJ (microns)."""
    table = {"micron": 1.0, "microns": 1.0}
    for symbol, (word, power) in _PREFIXES.items():
        um = 10.0 ** (power + 6)
        table[symbol + "m"] = um
        for metre in ("meter", "metre", "meters", "metres"):
            table[word + metre] = um
    for names, um in (
        (("\u00c5", "\u212b", "angstrom", "Angstrom", "angstroms"), 1e-4),
        (("in", "inch", "inches"), 25_400.0),
        (("ft", "foot", "feet"), 304_800.0),
        (("yd", "yard", "yards"), 914_400.0),
        (("thou", "mil"), 25.4),
    ):
        table.update(dict.fromkeys(names, um))
    return table


_MICROMETRES = _table()


def _times() -> dict[str, float]:
    """Spellings of OME-XML (symbols), OME-Zarr (words) and ImageJ (sec)."""
    table = {"sec": 1.0, "secs": 1.0, "msec": 1e-3, "usec": 1e-6}
    for symbol, (word, power) in _PREFIXES.items():
        for second in (symbol + "s", word + "second", word + "seconds"):
            table[second] = 10.0**power
    for names, seconds in (
        (("min", "mins", "minute", "minutes"), 60.0),
        (("h", "hr", "hour", "hours"), 3600.0),
        (("d", "day", "days"), 86_400.0),
    ):
        table.update(dict.fromkeys(names, seconds))
    return table


_SECONDS = _times()


def micrometres(value: float, unit: str | None) -> float | None:
    """Convert a length to µm.

    Parameters
    ----------
    value : float
        Length in `unit`.
    unit : str, optional
        As written in the file (``"nm"``, ``"micrometer"``, ``"microns"``, ``"Å"``, …).

    Returns
    -------
    float or None
        None when the unit is absent or is not one of length (``"pixel"``).
    """
    factor = _MICROMETRES.get((unit or "").strip())
    return None if factor is None else value * factor


def seconds(value: float, unit: str | None) -> float | None:
    """Convert a time to s.

    Parameters
    ----------
    value : float
        Time in `unit`.
    unit : str, optional
        As written in the file (``"ms"``, ``"minute"``, ``"sec"``, …).

    Returns
    -------
    float or None
        None when the unit is absent or is not one of time.
    """
    factor = _SECONDS.get((unit or "").strip())
    return None if factor is None else value * factor
