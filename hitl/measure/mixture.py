"""One threshold between dark and bright nuclei of a channel, and how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Method = Literal["mixture", "otsu", "given"]

STEPS = 500
TOLERANCE = 1e-9
LEAST_WIDTH = 1e-3
EVIDENCE = 6.0
"""Kass and Raftery (1995): a difference of BIC from 6 on is strong evidence."""
ASHMAN_APART = 2.0
"""Ashman, Bird and Zepf (1994): two Gaussians are clearly apart from D = 2 on."""


@dataclass(frozen=True)
class Gate:
    """A threshold on log10 intensities, with a Gaussian for the nuclei on each side.

    Parameters
    ----------
    threshold : float
        log10 of the mean intensity.
    method : {'mixture', 'otsu', 'given'}
    means, widths, shares : (float, float), optional
        Of the dark and the bright Gaussian; None where a side has fewer than two nuclei.
    bic_one, bic_two : float, optional
        Bayesian information criterion of one and of two Gaussians; less is better.
    """

    threshold: float
    method: Method
    means: tuple[float, float] | None = None
    widths: tuple[float, float] | None = None
    shares: tuple[float, float] | None = None
    bic_one: float | None = None
    bic_two: float | None = None

    @property
    def apart(self) -> float | None:
        """Ashman's D: how many widths the two Gaussians are apart."""
        if self.means is None or self.widths is None:
            return None
        gap = self.means[1] - self.means[0]
        return float(np.sqrt(2) * gap / np.hypot(*self.widths))

    @property
    def unimodal(self) -> bool:
        """Whether two Gaussians fit no better than one, too little better, or overlap."""
        if self.bic_one is None or self.bic_two is None:
            return False
        return self.bic_one <= self.bic_two + EVIDENCE or (self.apart or 0) < ASHMAN_APART

    def bright(self, x: Floats) -> Floats:
        """Return the probability that each nucleus belongs to the bright Gaussian, or NaN."""
        if self.means is None or self.widths is None or self.shares is None:
            return np.full(len(x), np.nan)
        # Beyond its own mean no nucleus is less sure, however wide the other Gaussian.
        inside = np.clip(x, *self.means)
        dark, bright = (
            _log_density(inside, m, w) + np.log(s)
            for m, w, s in zip(self.means, self.widths, self.shares, strict=True)
        )
        return np.asarray(1 / (1 + np.exp(np.clip(dark - bright, -700, 700))))


def find_gate(x: Floats, method: Literal["mixture", "otsu"]) -> Gate:
    """Find the threshold of log10 intensities.

    Parameters
    ----------
    x : ndarray of float64, shape (N,)
        Not all alike.
    method : {'mixture', 'otsu'}
        Where two Gaussians, fitted by expectation and maximisation from Otsu's split, are equally
        likely; or Otsu's threshold (scikit-image's) itself.
    """
    from skimage.filters import threshold_otsu

    start = given_gate(x, float(threshold_otsu(x)), "otsu")
    if start.means is None:
        return start
    fitted, likelihood = _expectation_maximisation(x, start)
    n = len(x)
    width = max(float(x.std()), LEAST_WIDTH)
    alone = float(_log_density(x, float(x.mean()), width).sum())
    chosen = replace(fitted, threshold=_crossing(fitted)) if method == "mixture" else start
    return replace(
        chosen,
        bic_one=float(2 * np.log(n) - 2 * alone),
        bic_two=float(5 * np.log(n) - 2 * likelihood),
    )


def given_gate(x: Floats, threshold: float, method: Method = "given") -> Gate:
    """Return a gate at a threshold, with the Gaussians of the nuclei on its two sides."""
    sides = [x[x <= threshold], x[x > threshold]]
    if min(len(side) for side in sides) < 2:
        return Gate(threshold, method)
    means, widths, shares = zip(
        *((float(s.mean()), max(float(s.std()), LEAST_WIDTH), len(s) / len(x)) for s in sides),
        strict=True,
    )
    return Gate(threshold, method, _two(means), _two(widths), _two(shares))


def _expectation_maximisation(x: Floats, gate: Gate) -> tuple[Gate, float]:
    """Fit two Gaussians (Dempster, Laird and Rubin 1977); also return the log-likelihood."""
    assert gate.means is not None and gate.widths is not None and gate.shares is not None
    means, widths, shares = (np.array(v) for v in (gate.means, gate.widths, gate.shares))
    # Narrower than a hundredth of the whole, a Gaussian only follows a few equal values.
    least = max(LEAST_WIDTH, 0.01 * float(x.std()))
    likelihood = -np.inf
    for _ in range(STEPS):
        logs = np.stack([_log_density(x, means[k], widths[k]) + np.log(shares[k]) for k in (0, 1)])
        total = np.logaddexp(logs[0], logs[1])
        before, likelihood = likelihood, float(total.sum())
        if likelihood - before < TOLERANCE * abs(likelihood):
            break
        weight = np.exp(logs - total)
        size = np.maximum(weight.sum(axis=1), 1e-9)
        means = (weight @ x) / size
        spread = (weight * (x - means[:, None]) ** 2).sum(axis=1) / size
        widths, shares = np.maximum(np.sqrt(spread), least), size / size.sum()
    order = np.argsort(means)
    centres, spreads, sizes = (_two(v[order]) for v in (means, widths, shares))
    return Gate(gate.threshold, "mixture", centres, spreads, sizes), likelihood


def _crossing(gate: Gate) -> float:
    """Return where both Gaussians are equally likely, between their means."""
    assert gate.means is not None
    low, high = gate.means
    for _ in range(60):
        middle = (low + high) / 2
        if gate.bright(np.array([middle]))[0] < 0.5:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _log_density(x: Floats, mean: float, width: float) -> Floats:
    return np.asarray(-0.5 * ((x - mean) / width) ** 2 - np.log(width) - 0.5 * np.log(2 * np.pi))


def _two(values: NDArray[np.float64] | tuple[float, ...]) -> tuple[float, float]:
    low, high = values
    return float(low), float(high)
