"""What the next step needs, made while this one is computed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Makes things by their number, the following one in a thread beside the caller's work.

    Parameters
    ----------
    make : callable
        From a number to what belongs to it, and to nothing else.
    """

    def __init__(self, make: Callable[[int], T]) -> None:
        self._make, self._pool = make, ThreadPoolExecutor(1, "batches")
        self._coming: tuple[int, Future[T]] | None = None

    def __call__(self, number: int) -> T:
        """Return what belongs to a number."""
        coming = self._coming
        if coming is None or coming[0] != number:
            coming = number, self._pool.submit(self._make, number)
        made = coming[1].result()
        self._coming = number + 1, self._pool.submit(self._make, number + 1)
        return made

    def close(self) -> None:
        """Wait for what is being made, and make no more."""
        self._pool.shutdown(cancel_futures=True)
