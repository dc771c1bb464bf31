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


class OneChannel:
    """One channel of an image (C, Z, Y, X), as (Z, Y, X); read and written when indexed.

    Parameters
    ----------
    image : array, shape (C, Z, Y, X)
    number : int
    """

    def __init__(self, image: Any, number: int = 0) -> None:
        self._image, self._number = image, number
        self.shape: tuple[int, ...] = tuple(image.shape[1:])
        self.dtype: Any = getattr(image, "dtype", None)

    def __getitem__(self, box: Any) -> Any:
        return self._image[self._place(box)]

    def __setitem__(self, box: Any, values: Any) -> None:
        self._image[self._place(box)] = values

    def _place(self, box: Any) -> tuple[Any, ...]:
        return self._number, *(box if isinstance(box, tuple) else (box,))
