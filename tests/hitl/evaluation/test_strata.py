"""Whether a model is worse than another on some kind of objects, beyond noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from hitl.evaluation.paired import ItemPairs, compare_items
from hitl.evaluation.strata import (
    ALPHA,
    EVERYTHING,
    FLIPS,
    SPURIOUS,
    ObjectPairs,
    Stratum,
    compare_strata,
    pair_objects,
)
from hitl.project.errors import MetricError
from tests.hitl.fake_model import SHAPE, scene

SPACING_UM = (2.0, 0.5, 0.5)


def items(
    difference: NDArray[np.float64],
    spurious: tuple[float, ...] = (),
    **columns: NDArray[np.float64],
) -> ObjectPairs:
    n = difference.size
    in_use = np.full(n, 0.7)
    return ObjectPairs(
        in_use=in_use,
        candidate=in_use + difference,
        volume_um3=columns.get("volume_um3", np.full(n, 5.0)),
        depth_um=columns.get("depth_um", np.full(n, 5.0)),
        neighbours=columns.get("neighbours", np.full(n, 5.0)),
        spurious=np.asarray(spurious, np.float64),
    )


def one_class(*args: Any, **columns: Any) -> dict[str, ObjectPairs]:
    return {"nuclei": items(*args, **columns)}


def named(strata: tuple[Stratum, ...]) -> dict[str, Stratum]:
    return {stratum.name: stratum for stratum in strata}


def chance(values: NDArray[np.float64]) -> float:
    """One-sided p of the mean of values with random signs."""
    rows = np.stack([values, np.ones_like(values)], axis=1)
    pairs = {"": {"": [ItemPairs(rows * (0, 1), rows)]}}
    found = compare_items(
        pairs, lambda sums: sums[:, :1] / sums[:, 1:], one_sided=True, resamples=1, flips=FLIPS
    )
    return float(found[0, -1])


def test_flips_by_hand() -> None:
    assert chance(np.array([-1.0, -1.0, -1.0])) == 1 / 8
    assert chance(np.array([1.0, 1.0, 1.0])) == 1.0
    assert chance(np.array([-1.0, 1.0, 0.0])) == 3 / 4
    assert chance(np.zeros(4)) == 1.0


def test_random_flips_agree_with_all_flips() -> None:
    values = np.random.default_rng(3).normal(-0.3, 1, 12)
    padded = np.concatenate([values, [1e-12]])
    assert chance(padded) == pytest.approx(chance(values), abs=0.02)


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(-1, 1)))
def test_a_model_is_never_worse_and_better_at_once(values: NDArray[np.float64]) -> None:
    worse, better = compare_strata(one_class(values))[0], compare_strata(one_class(-values))[0]
    assert not (worse.worse and better.worse)
    assert worse.low <= worse.difference + 1e-12
    assert worse.difference <= worse.high + 1e-12
    assert not compare_strata(one_class(np.abs(values)))[0].worse


def test_noise_is_no_regression_in_nineteen_of_twenty() -> None:
    random = np.random.default_rng(0)
    found = [chance(random.normal(0, 0.2, 30)) < ALPHA for _ in range(200)]
    assert sum(found) <= 20


def test_a_loss_in_one_stratum_is_found_though_the_rest_gains() -> None:
    random = np.random.default_rng(1)
    size = np.repeat([1.0, 5.0, 20.0], 30)
    difference = np.where(size == 1, -0.2, 0.15) + random.normal(0, 0.05, 90)
    strata = named(compare_strata(one_class(difference, volume_um3=size)))
    assert not strata[EVERYTHING].worse
    assert strata["small objects"].worse
    assert [name for name, stratum in strata.items() if stratum.worse] == ["small objects"]
    assert strata["small objects"].objects == 30
    assert "small objects: 0.497" in strata["small objects"].figures()
    assert "against 0.700" in strata["small objects"].figures()


def test_a_loss_in_a_small_class_is_found_though_a_large_one_gains() -> None:
    random = np.random.default_rng(1)
    large, small = random.normal(0.05, 0.02, 300), random.normal(-0.2, 0.02, 20)
    strata = named(compare_strata({"nuclei": items(large), "golgi": items(small)}))
    assert not strata[EVERYTHING].worse and not strata["class nuclei"].worse
    assert strata["class golgi"].worse and strata["class golgi"].objects == 20
    alone = compare_strata({"nuclei": items(large), "golgi": items(np.zeros(0))})
    assert not any(stratum.name.startswith("class") for stratum in alone)


@pytest.mark.parametrize("column", ["volume_um3", "depth_um", "neighbours"])
def test_each_property_makes_three_strata(column: str) -> None:
    strata = compare_strata(one_class(np.zeros(9), **{column: np.arange(9.0)}))
    assert [stratum.objects for stratum in strata] == [9, 3, 3, 3]


def test_a_loss_that_is_certain_but_tiny_is_tolerated() -> None:
    assert not compare_strata(one_class(np.full(100, -0.005)))[0].worse
    assert compare_strata(one_class(np.full(100, -0.02)))[0].worse


def test_spurious_objects_count_as_much_as_missed_ones() -> None:
    strata = named(compare_strata(one_class(np.zeros(10), spurious=(-1.0,) * 9 + (0.0, 1.0))))
    found = strata[SPURIOUS]
    assert (found.in_use, found.candidate) == (2, 10)
    assert found.worse
    assert strata[EVERYTHING].objects == 21
    assert "10 against 2" in found.figures()


def test_objects_are_paired_with_both_predictions() -> None:
    _, truth = scene()
    candidate = truth.copy()
    candidate[truth == 5] = 0
    candidate[0, 0, :2] = 999
    everywhere = np.ones(SHAPE, bool)
    found = pair_objects(truth, everywhere, truth, candidate, SPACING_UM)
    ids = np.unique(truth)[1:]
    np.testing.assert_allclose(found.in_use, 1)
    np.testing.assert_allclose(found.candidate, ids != 5)
    np.testing.assert_allclose(found.volume_um3, np.bincount(truth.ravel())[ids] * 0.5)
    depth = [np.argwhere(truth == i)[:, 0].mean() * 2.0 for i in ids]
    np.testing.assert_allclose(found.depth_um, depth)
    assert found.spurious.tolist() == [-1]
    back = pair_objects(truth, everywhere, candidate, truth, SPACING_UM)
    assert back.spurious.tolist() == [1]
    both = pair_objects(truth, everywhere, candidate, candidate, SPACING_UM)
    assert both.spurious.tolist() == [0]


def test_only_what_was_verified_counts() -> None:
    _, truth = scene()
    counts = np.zeros(SHAPE, bool)
    counts[:, 30:] = True
    candidate = truth.copy()
    candidate[:, :20] = 0
    candidate[0, 0, :2] = 999
    found = pair_objects(truth, counts, truth, candidate, SPACING_UM)
    inside = [i for i in np.unique(truth)[1:] if counts[truth == i].mean() > 0.5]
    assert 0 < found.in_use.size == len(inside)
    np.testing.assert_allclose(found.candidate, 1)
    assert not found.spurious.size


def test_neighbours_are_counted_within_one_diameter() -> None:
    truth = np.zeros((6, 40, 60), np.uint32)
    for number, x in enumerate((2, 10, 50), start=1):
        truth[1:5, 18:22, x : x + 4] = number
    found = pair_objects(truth, truth >= 0, truth, truth, (1.0, 1.0, 1.0))
    assert found.neighbours.tolist() == [1, 1, 0]


def test_a_mask_of_another_shape_is_refused() -> None:
    _, truth = scene()
    with pytest.raises(MetricError, match="mask of the truth's shape"):
        pair_objects(truth, np.ones((2, 2, 2), bool), truth, truth, SPACING_UM)
