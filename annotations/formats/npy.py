"""NumPy files (.npy): one array, without axes and voxel size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotations.formats.format import Format, Header, RawVoxels, translated

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ADVICE = "save the array again with numpy.save(path, array, allow_pickle=False)"


class NpyVoxels(RawVoxels):
    """A memory-mapped .npy file; never a pickle.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FormatError
        Not a .npy file, truncated, or holding Python objects.
    """

    def __init__(self, path: Path) -> None:
        import numpy as np

        # open_memmap reads plain .npy only; numpy.load would also take archives and pickles.
        with translated(path, _ADVICE):
            self._array: NDArray[Any] | None = np.lib.format.open_memmap(path, mode="r")
        hint = ".npy files carry none"
        header = Header(self._array.shape, self._array.dtype, axes=None, spacing_hint=hint)
        super().__init__(path, header)

    def cut(self, index: tuple[slice, ...]) -> NDArray[Any]:
        """Return a copy of the voxels of `index`."""
        import numpy as np

        assert self._array is not None, "cut after close"
        return np.array(self._array[index])

    def close(self) -> None:
        """Drop the only reference to the map, which unmaps the file."""
        self._array = None


NPY = Format(name="npy", title="NumPy", suffixes=(".npy",), open=NpyVoxels)
