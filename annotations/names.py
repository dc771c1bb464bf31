"""Names of fields and classes, and how labels are addressed by them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from annotations.errors import UnknownFieldError
from labels.names import did_you_mean

DEFAULT_CLASS = "nuclei"
"""The class of a field for which none was named."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def is_name(name: str) -> bool:
    """Whether a field or class could have this name; others could reach out of the store."""
    return _NAME.fullmatch(name) is not None and name != "zarr.json"


def check_name(name: str, what: str = "field") -> None:
    """Refuse a name that could not be a folder's.

    Raises
    ------
    UnknownFieldError
        Not letters, digits, dots, dashes and underscores, beginning with a letter or digit.
    """
    if not is_name(name):
        raise UnknownFieldError(
            f"{what} {name!r}: expected a name of 1 to 100 letters, digits, '.', '_' and '-' that "
            f"starts with a letter or digit; choose one with --{what}"
        )


def split_address(address: str) -> tuple[str, str | None]:
    """Return field and class of ``FIELD`` or ``FIELD:CLASS``.

    >>> split_address("f1:golgi"), split_address("f1")
    (('f1', 'golgi'), ('f1', None))
    """
    field, colon, class_name = address.partition(":")
    return field, class_name if colon else None


def split_view_name(name: str) -> tuple[str, int | None]:
    """Return the address and the time point that `LabelsView.name` joins.

    >>> split_view_name("f1:golgi t3"), split_view_name("f1")
    (('f1:golgi', 3), ('f1', None))
    """
    address, _, time = name.partition(" t")
    return (address, int(time)) if time.isdecimal() else (name, None)


def key_of(field: str, class_name: str) -> str:
    """Return the address with both names, as commits have it."""
    return f"{field}:{class_name}"


def unknown_field(name: str, known: Iterable[str]) -> UnknownFieldError:
    """Return the error for a field that is not there, with the nearest one that is."""
    return unknown_name("field", name, known, "the store's fields", "none yet: add one first")


def unknown_class(field: str, name: str, known: Iterable[str]) -> UnknownFieldError:
    """Return the error for a class that a field does not have, with the nearest one that it has."""
    return unknown_name(
        "class", key_of(field, name), known, f"the classes of field {field}", "none"
    )


def several_classes(field: str, classes: Iterable[str]) -> UnknownFieldError:
    """Return the error for a field that is named where one of its classes is meant."""
    listed = ", ".join(key_of(field, name) for name in classes)
    return UnknownFieldError(
        f"field {field!r}: expected one of its classes, got the field; name one of {listed}"
    )


def unknown_name(
    what: str, name: str, known: Iterable[str], whose: str, nothing: str
) -> UnknownFieldError:
    """Return the error for a name that is not there, with the nearest one that is."""
    names = sorted(known)
    hint = did_you_mean(name.rpartition(":")[2], names)
    listed = ", ".join(names) if names else nothing
    return UnknownFieldError(f"{what} {name!r}: expected one of {whose} ({listed}){hint}")
