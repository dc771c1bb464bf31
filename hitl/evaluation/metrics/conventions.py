"""The same two label images counted as others count them, named after who does so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hitl.evaluation.metrics.matching import MEAN_AP_THRESHOLDS, Matching, Method, match, mean_ap
from labels.overlaps import Contingency

CONVENTIONS: dict[str, tuple[Method, str]] = {
    "stardist": ("optimal", "Hungarian, IoU ≥ t (stardist.matching, Schmidt et al. 2018)"),
    "cellpose": ("optimal", "Hungarian, IoU ≥ t (cellpose.metrics, Stringer et al. 2021)"),
    "panoptica": ("greedy", "best IoU first, IoU ≥ t (panoptica, Kofler et al. 2023)"),
    "coco": ("coco", "each prediction takes its best free truth, IoU ≥ t (pycocotools 2014)"),
    "dsb2018": ("strict", "IoU > t, t ≥ 0.5 (Data Science Bowl 2018, Caicedo et al. 2019)"),
}
"""Per name the method of `hitl.evaluation.metrics.matching.match`, and the rule with its source."""


@dataclass(frozen=True, eq=False)
class Convention:
    """Matchings of one convention.

    Parameters
    ----------
    name : str
        A key of `CONVENTIONS`.
    mean_ap : float or None
        Mean AP at IoU 0.5, 0.55, … 0.95.
    matchings : tuple of Matching
        One per threshold that the convention knows.
    """

    name: str
    mean_ap: float | None
    matchings: tuple[Matching, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return rule, mean AP, and counts and ratios by threshold."""
        return {
            "rule": CONVENTIONS[self.name][1],
            "mean_ap_50_95": self.mean_ap,
            "thresholds": by_threshold(self.matchings),
        }


def by_threshold(matchings: Sequence[Matching]) -> dict[str, Matching]:
    """Return matchings as JSON has them: by their threshold, such as "0.5"."""
    return {f"{found.threshold:g}": found for found in matchings}


def count_by_convention(table: Contingency, thresholds: Sequence[float]) -> tuple[Convention, ...]:
    """Match at every threshold by every convention; those below 0.5 are left out for DSB 2018."""
    found: dict[Method, tuple[float | None, tuple[Matching, ...]]] = {}
    for method, _ in CONVENTIONS.values():
        if method in found:
            continue
        known = [t for t in thresholds if method != "strict" or t >= 0.5]
        matchings = tuple(match(table, t, method=method) for t in known)
        found[method] = (mean_ap(table, MEAN_AP_THRESHOLDS, method=method), matchings)
    return tuple(Convention(name, *found[method]) for name, (method, _) in CONVENTIONS.items())
