"""What stands for an array that need not be in memory."""

from __future__ import annotations

from typing import Any, Protocol


class ArrayLike(Protocol):
    """An array in memory, or one that is read when indexed, such as a memmap or a zarr array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""
        ...

    @property
    def dtype(self) -> Any:
        """Of the elements."""
        ...

    def __getitem__(self, key: Any, /) -> Any: ...
