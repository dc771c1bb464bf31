"""What docstrings say of parameters, for the help of options."""

from __future__ import annotations

import inspect


def parameter_descriptions(docstring: str) -> dict[str, str]:
    """Return what a numpydoc "Parameters" section says of each parameter, as one line each."""
    lines = inspect.cleandoc(docstring).partition("Parameters\n----------\n")[2].splitlines()
    found: dict[str, str] = {}
    names: list[str] = []
    for line in lines:
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.partition(" : ")[0].split(",")]
            found |= dict.fromkeys(names, "")
        else:
            found |= {name: f"{found[name]} {line.strip()}".strip() for name in names}
    return found


def parameters_of(cls: type) -> dict[str, str]:
    """Return what the docstrings of a class, and of those that it inherits from, say of each."""
    found: dict[str, str] = {}
    for one in reversed(cls.__mro__):
        found |= parameter_descriptions(one.__doc__ or "")
    return found


def summary(docstring: str) -> str:
    """Return the first paragraph of a docstring, as one line."""
    return " ".join(inspect.cleandoc(docstring).partition("\n\n")[0].split())
