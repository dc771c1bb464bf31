"""The phase of the cell cycle of each nucleus, from two FUCCI channels.

Cy3 (the G1 marker, Cdt1) alone: G1; both: G1/S; GFP (the S/G2/M marker, geminin) alone: S/G2/M;
neither: M→G1. Thresholds are those of one class of one field, over all its time points, on log10 of
each nucleus' mean intensity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.measure.mixture import Gate, find_gate, given_gate
from hitl.measure.requests import FucciOptions
from labels.numbers import number_of

PHASES = ("G1", "G1/S", "S/G2/M", "M→G1")
PHASE_OF = {(True, False): 0, (True, True): 1, (False, True): 2, (False, False): 3}
CERTAIN = 0.9
CLOSE = 0.05
"""In log10: nuclei within 12 % of a threshold are uncertain whatever their probability."""
LEAST_NUCLEI = 10


@dataclass(frozen=True, eq=False)
class Phases:
    """The phases of the N nuclei of one class in one field.

    Parameters
    ----------
    channels : (str, str)
    signals : ndarray of float64, shape (2, N)
        Mean intensities.
    gates : (Gate, Gate), optional
        None where no threshold could be found.
    phase : ndarray of int64, shape (N,)
        Index into `PHASES`, -1 where there is no threshold.
    probability, margin : ndarray of float64, shape (N,)
        Of the phase; and the distance to the nearer threshold in log10.
    uncertain : ndarray of bool, shape (N,)
    notes : tuple of str
    """

    channels: tuple[str, str]
    signals: NDArray[np.float64]
    gates: tuple[Gate, Gate] | None
    phase: NDArray[np.int64]
    probability: NDArray[np.float64]
    margin: NDArray[np.float64]
    uncertain: NDArray[np.bool_]
    notes: tuple[str, ...] = ()

    def part(self, rows: slice) -> Phases:
        """Return the phases of some of the nuclei, by the thresholds of all of them."""
        return replace(
            self,
            signals=self.signals[:, rows],
            phase=self.phase[rows],
            probability=self.probability[rows],
            margin=self.margin[rows],
            uncertain=self.uncertain[rows],
        )

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the table's columns."""
        names = np.array([*PHASES, None], object)
        return {
            "fucci_phase": names[self.phase],
            "fucci_probability": self.probability,
            "fucci_margin_log10": self.margin,
            "fucci_uncertain": self.uncertain,
        }

    def summary(self) -> dict[str, Any]:
        """Return counts, the fraction uncertain and the thresholds, as JSON takes them."""
        n = len(self.phase)
        counts = {name: int((self.phase == k).sum()) for k, name in enumerate(PHASES)}
        gates = zip(self.channels, self.gates, strict=True) if self.gates else ()
        return {
            "nuclei": n,
            "phases": counts,
            "uncertain": int(self.uncertain.sum()),
            "uncertain_fraction": float(self.uncertain.mean()) if n else None,
            "thresholds": {name: _gate_dict(gate) for name, gate in gates},
        }


def tell_phases(signals: NDArray[np.float64], options: FucciOptions, where: str) -> Phases:
    """Tell the phase of each nucleus of one class in one field.

    A nucleus is uncertain where the probability of its phase is below `CERTAIN`, where it is
    within `CLOSE` of a threshold, or where a threshold is not the user's and the data of its
    channel speak for one group only.

    Parameters
    ----------
    signals : ndarray of float64, shape (2, N)
        Mean intensity in the G1 marker's and the S/G2/M marker's channel.
    options : FucciOptions
    where : str
        The field's name, for notes.
    """
    n = signals.shape[1]
    logs = np.stack([_log(s) for s in signals]) if n else np.zeros((2, 0))
    if options.thresholds is not None:
        gates = [
            given_gate(x, float(np.log10(t))) for x, t in zip(logs, options.thresholds, strict=True)
        ]
    else:
        refused = _refusal(signals, options, where)
        if refused:
            nothing = np.full(n, np.nan)
            return Phases(
                options.channels, signals, None, np.full(n, -1), nothing, nothing,
                np.ones(n, bool), (refused,),
            )  # fmt: skip
        gates = [find_gate(x, options.method) for x in logs]
    return _assigned(signals, logs, (gates[0], gates[1]), options, where)


def _assigned(
    signals: NDArray[np.float64],
    logs: NDArray[np.float64],
    gates: tuple[Gate, Gate],
    options: FucciOptions,
    where: str,
) -> Phases:
    on = np.stack([x > gate.threshold for x, gate in zip(logs, gates, strict=True)])
    bright = np.stack([gate.bright(x) for x, gate in zip(logs, gates, strict=True)])
    phase = np.array([PHASE_OF[bool(a), bool(b)] for a, b in on.T], np.int64)
    probability = np.where(on, bright, 1 - bright).prod(axis=0)
    margins = np.abs(logs - np.array([[g.threshold] for g in gates]))
    # A comparison with NaN is False, so that unknown probabilities do not count here.
    uncertain = (probability < CERTAIN) | (margins < CLOSE).any(axis=0)
    notes = []
    for name, gate in zip(options.channels, gates, strict=True):
        if gate.unimodal:
            uncertain[:] = True
            notes.append(_unimodal(where, name, gate))
        elif gate.means is None:
            notes.append(
                f"{where}: almost all nuclei lie on one side of channel {name}'s threshold, so "
                "there are no probabilities; those within 12 % of it are uncertain"
            )
    return Phases(
        options.channels, signals, gates, phase, probability, margins.min(axis=0), uncertain,
        tuple(notes),
    )  # fmt: skip


def _log(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log10; nothing and less become half of the smallest signal that is above 0."""
    above = signal[signal > 0]
    least = float(above.min()) / 2 if above.size else 1.0
    return np.log10(np.maximum(signal, least))


def _refusal(signals: NDArray[np.float64], options: FucciOptions, where: str) -> str:
    """Return why no threshold can be found, or nothing."""
    n = signals.shape[1]
    advice = "so its phases are left empty; give --thresholds to have them"
    if n < LEAST_NUCLEI:
        few = number_of(n, "nucleus is", "nuclei are")
        return f"{where}: {few} too few to find thresholds (at least {LEAST_NUCLEI}), {advice}"
    for name, signal in zip(options.channels, signals, strict=True):
        if np.ptp(signal) == 0:
            return f"{where}: all nuclei are equally bright in channel {name}, {advice}"
    return ""


def _unimodal(where: str, name: str, gate: Gate) -> str:
    apart = 0.0 if gate.apart is None else gate.apart
    assert gate.bic_one is not None and gate.bic_two is not None
    how = "no better" if gate.bic_one <= gate.bic_two else "hardly better, or overlap"
    return (
        f"{where}: channel {name} shows one group of nuclei (two Gaussians fit {how}: BIC "
        f"{gate.bic_one:.1f} for one, {gate.bic_two:.1f} for two, which are {apart:.1f} widths "
        "apart); "
        "its threshold means little and every phase of the field is marked uncertain"
    )


def _gate_dict(gate: Gate) -> dict[str, Any]:
    return {
        "mean_intensity": float(10**gate.threshold),
        "method": gate.method,
        "unimodal": gate.unimodal,
        "bic_one": gate.bic_one,
        "bic_two": gate.bic_two,
        "ashman_d": gate.apart,
    }
