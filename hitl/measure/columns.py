"""The data dictionary: what each column of the table holds, and in which unit."""

from __future__ import annotations

import re
from collections.abc import Sequence

VOXEL_CENTRES = "between the centres of the two nearest voxels"

FIXED: dict[str, str] = {
    "field": "name of the field, or of the label file",
    "class": "what is labelled",
    "time": "time point, from 0",
    "id": "label value of the nucleus",
    "status": "what people have said of it: proposed, accepted or corrected",
    "origin": "who made it: person:<who> or model:<which>",
    "confidence": "the model's confidence, 0 to 1; empty where there is none",
    "round_changed": "round that last changed the nucleus; empty when none has",
    "round": "round of the labels; empty when they are not a round's",
    "model": "run or segmenter that made the nucleus; empty when a person drew it",
    "model_weights_sha256": "of that model's weights; empty when it has none",
    "voxels": "number of voxels",
    "volume_um3": "voxels times the voxel's volume",
    "axis_major_um": "longest axis of the ellipsoid with the same second moments (scikit-image)",
    "axis_middle_um": "its second axis",
    "axis_minor_um": "its shortest axis",
    "azimuth_deg": "direction of the longest axis in the xy plane: 0 along +x, 90 along +y, up to "
    "360; the axis points to larger z (to larger y, then x, where it lies in the plane); empty "
    "where no axis is the longest",
    "elevation_deg": "angle of the longest axis out of the xy plane, 0 to 90",
    "surface_mesh_um2": "area of the marching-cubes mesh at 0.5 (scikit-image), which is some "
    "percent too large for smooth objects since it follows the voxels' steps",
    "surface_crofton_um2": "area by Crofton's formula over 13 directions (Ohser and Mücklich 2000; "
    "Legland et al. 2007)",
    "sphericity_mesh": "surface of a ball of the same volume over surface_mesh_um2 (Wadell 1935); "
    "about 0.9 for a ball, since the mesh's area is too large",
    "sphericity_crofton": "the same over surface_crofton_um2; about 1 for a ball, some percent "
    "more for small objects and where slices are far apart",
    "equivalent_diameter_um": "diameter of a ball of the same volume",
    "touches_border": "whether it reaches the first or last voxel along z, y or x, so that it may "
    "be cut",
    "solidity": "volume over that of the convex hull of its voxels",
    "neighbours_touching": "objects that share a face, an edge or a corner of a voxel with it",
    "nearest_centroid_um": "distance to the nearest other centroid; empty for a lone object",
    "nearest_surface_um": f"distance to the nearest other object, {VOXEL_CENTRES}",
    "nearest_surface_id": "id of that object",
    "other_distance_um": f"distance to the nearest object of another class of the field, "
    f"{VOXEL_CENTRES}; 0 where they overlap",
    "other_class": "class of that object",
    "other_id": "id of that object",
    "depth_z_um": "distance of the centroid from the centre of the first slice, along z",
    "depth_hull_um": "distance of the centroid from the surface of the convex hull of all objects "
    "of the field",
    "fucci_phase": "G1 (only the first channel bright), G1/S (both), S/G2/M (only the second) or "
    "M→G1 (neither)",
    "fucci_probability": "probability of that phase; empty where a threshold has too few nuclei "
    "on one side",
    "fucci_margin_log10": "distance to the nearer threshold, in log10 of intensity",
    "fucci_uncertain": "whether the probability is below 0.9, a threshold is within 12 %, or a "
    "channel shows only one group",
}

# Of each channel, in the order of the table's columns.
STATISTICS: dict[str, str] = {
    "mean": "mean",
    "median": "median",
    "p5": "5th percentile",
    "p25": "25th percentile",
    "p75": "75th percentile",
    "p95": "95th percentile",
    "std": "standard deviation (of the voxels, not of a sample)",
    "min": "smallest value",
    "max": "largest value",
    "sum": "sum",
    "mean_minus_background": "mean less the median of the unlabelled voxels",
    "sum_minus_background": "sum less that median for each voxel",
    "entropy_bits": "Shannon entropy of the values (scikit-image's shannon_entropy)",
    "skewness": "skewness (biased, as scipy.stats.skew); 0 where all voxels are alike",
    "kurtosis": "excess kurtosis (biased, as scipy.stats.kurtosis); 0 where all voxels are alike",
}

_UNITS = (
    ("_um3", "µm³"),
    ("_um2", "µm²"),
    ("_um", "µm"),
    ("_px", "voxels"),
    ("voxels", "voxels"),
    ("_deg", "degrees"),
    ("_bits", "bits"),
    ("_log10", "log10"),
)
_WITHOUT = ("skewness", "kurtosis")


Dictionary = list[dict[str, str]]
"""Name, unit and meaning of each column."""


def dictionary(names: Sequence[str], channels: dict[str, str]) -> Dictionary:
    """Return name, unit and meaning of each column.

    Parameters
    ----------
    names : sequence of str
    channels : mapping of str to str
        A channel's name in columns to its own name.
    """
    return [
        {"name": name, "unit": unit(name, channels), "meaning": meaning(name, channels)}
        for name in names
    ]


def unit(name: str, channels: dict[str, str]) -> str:
    """Return a column's unit, nothing where it has none."""
    if name.startswith("neighbours_within_"):
        return ""
    for ending, found in _UNITS:
        if name.endswith(ending):
            return found
    channel, statistic = _split(name, channels)
    return "intensity" if channel and statistic not in _WITHOUT else ""


def meaning(name: str, channels: dict[str, str]) -> str:
    """Return what a column holds.

    Raises
    ------
    KeyError
        A column that nothing describes.
    """
    if name in FIXED:
        return FIXED[name]
    if name.startswith("meta_"):
        return f"{name.removeprefix('meta_')} of the field, as it was added"
    if found := re.fullmatch(r"neighbours_within_(.*)um", name):
        return f"other objects whose centroid is within {found[1]} µm"
    if found := re.fullmatch(r"centroid_([zyx])_(um|px)", name):
        origin = "; 0 is the centre of the first voxel" if found[2] == "um" else ", from 0"
        return f"{found[1]} of the centroid{origin}"
    if found := re.fullmatch(r"bbox_([zyx])_(start|stop)_px", name):
        return f"{'first' if found[2] == 'start' else 'last + 1'} voxel along {found[1]}, from 0"
    channel, statistic = _split(name, channels)
    return f"{STATISTICS[statistic]} of channel {channels[channel]}"


def _split(name: str, channels: dict[str, str]) -> tuple[str, str]:
    """Return channel and statistic of a column; two empty strings when it is not such a one."""
    for channel in sorted(channels, key=len, reverse=True):
        rest = name.removeprefix(f"{channel}_")
        if rest != name and rest in STATISTICS:
            return channel, rest
    return "", name
