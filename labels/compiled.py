"""Compiled loops, whose machine code is kept on the disk where that can be written."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numba
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

from labels.errors import ToldWarning


def compiled(function: Callable[..., Any], *signature: Any) -> Callable[..., Any]:
    """Compile a loop that needs no interpreter: for a signature now, else when first called.

    Parameters
    ----------
    function : callable
    *signature : numba types
        Of its arguments.

    Warns
    -----
    ToldWarning
        It cannot be kept, and will be compiled again by the next process.
    """
    loop: Any = numba.njit(nogil=True)(function)
    if isinstance(loop, Dispatcher):  # NUMBA_DISABLE_JIT leaves the function as it is
        try:
            loop._cache = _Kept(function)  # type: ignore[attr-defined]
        except (OSError, RuntimeError):
            _tell("no folder for it can be written")
        if signature:
            loop.compile(signature)
            loop.disable_compile()
    kept: Callable[..., Any] = loop
    return kept


class _Kept(FunctionCache):
    """Numba's files of one loop; what goes wrong with them never stops the loop."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]

    def load_overload(self, *of: Any) -> Any:
        try:
            return super().load_overload(*of)  # type: ignore[no-untyped-call]
        except Exception:
            # Unpickling a damaged file may raise anything; the loop is compiled and kept anew.
            self._write(self.flush)
            return None

    def save_overload(self, *of: Any) -> None:
        self._write(super().save_overload, *of)

    def _write(self, write: Callable[..., None], *what: Any) -> None:
        try:
            write(*what)
        except OSError as error:
            self.disable()  # type: ignore[no-untyped-call]
            _tell(f"{self.cache_path}: {error.strerror}")


def _tell(why: str) -> None:
    warnings.warn(
        f"the machine code of compiled loops cannot be kept ({why}), so each command compiles it "
        "again, which takes seconds; set NUMBA_CACHE_DIR to a folder that can be written",
        ToldWarning,
        stacklevel=3,
    )
