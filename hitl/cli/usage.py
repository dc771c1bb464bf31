"""Wrong usage of the command line, told in one line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

UsageProblem: type[Exception] = typer.BadParameter.__mro__[1]
"""What typer raises for every kind of wrong usage; it has no public name."""


def usage_line(problem: Any) -> str:
    """Return what is wrong with a command's words, and where its help is.

    Parameters
    ----------
    problem : UsageProblem

    Returns
    -------
    str
        Empty where the help was printed because nothing was asked.
    """
    line = _reason(problem).rstrip(".").replace(". Did you mean", "; did you mean")
    line = re.sub(r" \(Possible options: (.*)\)", r"; did you mean \1?", line)
    if not line or line.endswith("?") or problem.ctx is None:
        return line
    return f"{line}; see `{problem.ctx.command_path} --help`"


def _reason(problem: Any) -> str:
    if type(problem) is not typer.BadParameter:
        said = str(problem.format_message())
        return said[:1].lower() + said[1:]
    hint = problem.param_hint
    if hint is None and problem.param is not None:
        hint = problem.param.get_error_hint()
    if hint is None:
        return str(problem.message)
    details = _details(problem.__cause__)
    message = _in_words(details) if details else str(problem.message)
    return f"{str(hint).strip(chr(39))}: {message}"


def _details(cause: BaseException | None) -> ErrorDetails | None:
    from pydantic import ValidationError

    return cause.errors()[0] if isinstance(cause, ValidationError) else None


def _in_words(details: ErrorDetails) -> str:
    from hitl.project.schema import expected

    wanted = expected(details)
    if wanted is None:
        return details["msg"].removeprefix("Value error, ")
    return f"expected {wanted}, got {details['input']!r}"
