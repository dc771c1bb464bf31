"""What a person may choose about scoring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from hitl.project.errors import MetricError
from hitl.project.options import Flag
from labels.spacing import Spacing

CENTROID_PX = 15.0
"""Distance within which CellHunter, for bone stromal cells, takes two centroids for one cell."""

IN_PLANE_VOXELS = 2
"""The tolerance of the boundary F-score when none is asked for, in voxels along x."""


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """Which objects count, and how near is near enough.

    Parameters
    ----------
    border : {'keep', 'drop'}
        Whether objects that touch the border count; a prediction of one that does not is neither
        right nor wrong.
    min_voxels : int
        Smaller objects do not count.
    min_volume_um3 : float
        Smaller objects do not count, in µm³. The larger of the two holds.
    tolerance_um : float, optional
        Of the boundary F-score, in µm; two voxels along x if not given.
    centroid_px : float
        Greatest distance of centroids that match, in voxels along x.
    centroid_um : float, optional
        The same in µm, instead.

    Raises
    ------
    MetricError
        A value out of its range.
    """

    border: Annotated[str, Flag(metavar="keep|drop")] = "keep"
    min_voxels: Annotated[int, Flag(metavar="N", min=0, max=2**53)] = 0
    min_volume_um3: Annotated[
        float,
        Flag(metavar="V", help="Smaller objects do not count, in µm³.", min=0, max=1e15),
    ] = 0.0
    tolerance_um: Annotated[float | None, Flag(metavar="D", min=0, max=1e6)] = None
    centroid_px: Annotated[float, Flag(metavar="D", min=1e-6, max=1e6)] = CENTROID_PX
    centroid_um: Annotated[float | None, Flag(metavar="D", min=1e-6, max=1e6)] = None

    def __post_init__(self) -> None:
        if self.border not in ("keep", "drop"):
            raise MetricError(f"--border {self.border}: expected keep or drop")
        for name in ("min_voxels", "min_volume_um3", "tolerance_um"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise MetricError(f"{_flag(name)} {value}: expected a number of at least 0")
        for name in ("centroid_px", "centroid_um"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise MetricError(f"{_flag(name)} {value}: expected a number above 0")

    def check_spacing(self, spacing_um: Spacing | None) -> None:
        """Refuse what cannot be measured without a voxel size.

        Raises
        ------
        MetricError
            No spacing for something in µm.
        """
        wanted = [n for n in ("tolerance_um", "centroid_um") if getattr(self, n) is not None]
        wanted += ["min_volume_um3"] if self.min_volume_um3 else []
        if spacing_um is None and wanted:
            raise MetricError(
                f"{_flag(wanted[0])}: expected a spacing to measure in µm, got none: give the "
                "voxel size with --spacing-um Z Y X"
            )

    def least_voxels(self, spacing_um: Spacing | None) -> float:
        """Return the size below which objects do not count, in voxels."""
        if spacing_um is None or not self.min_volume_um3:
            return self.min_voxels
        voxel_um3 = spacing_um[0] * spacing_um[1] * spacing_um[2]
        # The last bit of a product must not decide about an object of just that size.
        return max(self.min_voxels, self.min_volume_um3 / voxel_um3 * (1 - 1e-9))

    def boundary_tolerance_um(self, spacing_um: Spacing) -> float:
        """Return the tolerance of the boundary F-score in µm."""
        return IN_PLANE_VOXELS * spacing_um[2] if self.tolerance_um is None else self.tolerance_um


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
