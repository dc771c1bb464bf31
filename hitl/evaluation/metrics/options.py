"""What a person may choose about scoring."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt

from hitl.evaluation.metrics.boundary import default_tolerance_um
from hitl.evaluation.metrics.detection import CENTROID_PX
from hitl.project.errors import MetricError
from labels.spacing import Spacing


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """Which objects count, and how near is near enough.

    Parameters
    ----------
    border : {'keep', 'drop'}
        Whether objects that touch a face of the volume count; see `left_out.Kept`
        for what happens to predictions of those that do not.
    min_voxels : int
        Smaller objects do not count.
    min_volume_um3 : float
        Likewise, in µm³; needs a spacing. The larger of the two holds.
    tolerance_um : float, optional
        Of the boundary F-score, in µm; two voxels along x when not given. Needs a spacing.
    centroid_px : float
        Greatest distance of centroids that match, in voxels along x.
    centroid_um : float, optional
        The same in µm, in its place; needs a spacing.

    Raises
    ------
    MetricError
        A value out of its range.
    """

    border: Literal["keep", "drop"] = "keep"
    min_voxels: Annotated[int, Ge(0)] = 0
    min_volume_um3: Annotated[float, Ge(0)] = 0.0
    tolerance_um: Annotated[float, Ge(0)] | None = None
    centroid_px: Annotated[float, Gt(0)] = CENTROID_PX
    centroid_um: Annotated[float, Gt(0)] | None = None

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
        if self.tolerance_um is None:
            return default_tolerance_um(spacing_um)
        return self.tolerance_um

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        return asdict(self)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
