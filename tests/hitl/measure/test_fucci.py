"""Phases of the cell cycle from two channels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl.measure.fucci import PHASES, tell_phases
from hitl.measure.fucci_plot import save_scatter
from hitl.measure.mixture import find_gate, given_gate
from hitl.measure.requests import FucciOptions
from hitl.project.errors import MeasureError

CHANNELS = ("Cy3", "GFP")


def cells(seed=0, n=60, spread=0.2, low=(100, 80), high=(900, 1200)):
    """Means of n nuclei of each phase, and the phase that each was made in."""
    rng = np.random.default_rng(seed)
    states = [(True, False), (True, True), (False, True), (False, False)]
    phase = np.repeat(np.arange(4), n)
    on = np.array(states)[phase].T
    level = np.where(on, np.array(high)[:, None], np.array(low)[:, None])
    return level * rng.lognormal(0, spread, level.shape), phase


@pytest.mark.parametrize("method", ["mixture", "otsu"])
def test_clear_phases_are_told_and_sure(method):
    signals, truth = cells()
    found = tell_phases(signals, FucciOptions(channels=CHANNELS, method=method), "a")
    assert (found.phase == truth).all()
    assert found.uncertain.mean() < 0.02
    assert found.notes == ()
    names = found.columns()["fucci_phase"]
    assert [names[i] for i in (0, 60, 120, 180)] == list(PHASES)
    about = found.summary()
    assert about["phases"] == dict.fromkeys(PHASES, 60)
    assert 150 < about["thresholds"]["Cy3"]["mean_intensity"] < 600


@pytest.mark.parametrize("method", ["mixture", "otsu"])
def test_uncertain_nuclei_are_those_near_a_threshold(method):
    signals, truth = cells(spread=0.45, n=150)
    found = tell_phases(signals, FucciOptions(channels=CHANNELS, method=method), "a")
    wrong = found.phase != truth
    assert 0.02 < found.uncertain.mean() < 0.4
    assert wrong[found.uncertain].mean() > 4 * wrong[~found.uncertain].mean()
    assert found.margin[found.uncertain].max() < found.margin.max()
    assert np.median(found.margin[found.uncertain]) < np.median(found.margin[~found.uncertain])


def test_one_group_is_announced_and_makes_everything_uncertain():
    rng = np.random.default_rng(1)
    signals, _ = cells()
    signals[1] = 500 * rng.lognormal(0, 0.3, signals.shape[1])
    found = tell_phases(signals, FucciOptions(channels=CHANNELS), "field_7")
    assert found.uncertain.all()
    (note,) = found.notes
    assert "field_7" in note and "GFP" in note and "one group" in note and "BIC" in note
    assert found.summary()["thresholds"]["GFP"]["unimodal"] is True
    assert found.summary()["thresholds"]["Cy3"]["unimodal"] is False


def test_thresholds_of_the_user_are_used_as_they_are():
    signals = np.array([[10.0, 30, 30, 10, 19.9], [5, 5, 80, 80, 5]])
    options = FucciOptions(channels=CHANNELS, thresholds=(20.0, 40.0))
    found = tell_phases(signals, options, "a")
    assert [PHASES[p] for p in found.phase] == ["M→G1", "G1", "G1/S", "S/G2/M", "M→G1"]
    assert found.uncertain.tolist()[4]
    one = tell_phases(signals[:, :1], options, "a")
    assert PHASES[one.phase[0]] == "M→G1" and np.isnan(one.probability[0])
    assert not one.uncertain[0]


@pytest.mark.parametrize(
    ("signals", "words"),
    [(np.ones((2, 9)) * np.arange(9), "9 nuclei are too few"), (np.zeros((2, 0)), "0 nuclei"),
     (np.stack([np.arange(12.0), np.full(12, 3.0)]), "equally bright in channel GFP")],
)  # fmt: skip
def test_where_no_threshold_is_to_be_had_phases_stay_empty(signals, words, tmp_path):
    found = tell_phases(signals, FucciOptions(channels=CHANNELS), "a")
    assert words in found.notes[0] and "--thresholds" in found.notes[0]
    assert set(found.columns()["fucci_phase"].tolist()) <= {None}
    assert found.uncertain.all()
    save_scatter(tmp_path / "fucci.png", {"a": found})
    assert (tmp_path / "fucci.png").stat().st_size > 5000


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 0.9), st.floats(0.5, 2.0))
def test_a_mixture_finds_the_two_groups_that_were_drawn(seed, share, gap):
    rng = np.random.default_rng(seed)
    bright = rng.random(400) < share
    x = rng.normal(2, 0.08, 400) + gap * bright
    gate = find_gate(x, "mixture")
    assert not gate.unimodal
    assert gate.means == pytest.approx((2, 2 + gap), abs=0.06)
    assert gate.shares[1] == pytest.approx(bright.mean(), abs=0.02)
    assert ((x > gate.threshold) == bright).mean() > 0.98
    probability = gate.bright(np.sort(x))
    assert (np.diff(probability) >= -1e-12).all()
    assert gate.bright(np.array([gate.threshold]))[0] == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("method", ["mixture", "otsu"])
def test_one_group_is_one_group(method):
    draws = [np.random.default_rng(seed).normal(2, 0.3, 40 + 5 * seed) for seed in range(60)]
    assert sum(not find_gate(x, method).unimodal for x in draws) <= 2


def test_a_side_without_nuclei_has_no_probabilities():
    gate = given_gate(np.array([1.0, 1.1, 1.2]), 5.0)
    assert np.isnan(gate.bright(np.array([1.0]))).all()


def test_bad_options_are_refused():
    with pytest.raises(MeasureError, match="two channels"):
        FucciOptions(channels=("a", "a"))
    with pytest.raises(MeasureError, match="above 0"):
        FucciOptions(channels=CHANNELS, thresholds=(1.0, 0.0))


def test_the_picture_draws_several_fields(tmp_path):
    import matplotlib.image as pictures

    found = {
        f"field_{n}": tell_phases(
            cells(n, spread=0.4)[0], FucciOptions(channels=("a$b", "c_d")), "s"
        )
        for n in range(4)
    }
    save_scatter(tmp_path / "fucci.png", found)
    drawn = pictures.imread(tmp_path / "fucci.png")
    assert drawn.shape[1] > drawn.shape[0] > 700
