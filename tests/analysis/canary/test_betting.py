"""Intervals that hold at every look."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meshslo.analysis.canary.betting import difference, log_wealth, quantile_ranks

DIFFERENCES = arrays(float, st.integers(1, 60), elements=st.floats(-1, 1))


@given(DIFFERENCES)
def test_the_limits_hold_the_estimate_and_mirror_each_other(values: np.ndarray) -> None:
    found, mirrored = difference(values, values, 0.05), difference(-values, -values, 0.05)
    assert -1.0 <= found.low <= found.estimate <= found.high <= 1.0
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))


def test_a_bad_hour_of_one_side_moves_the_limits_which_hold_the_mean_all_along() -> None:
    values = np.concatenate([np.zeros(300), -np.ones(60), np.zeros(1000)])
    for n in (330, 360, 600, 1360):
        found = difference(values[:n], values[:n], 0.05)
        assert found.low < found.estimate < found.high
        assert found.estimate == pytest.approx(values[:n].mean())


@given(DIFFERENCES, st.floats(0.0, 0.5))
def test_what_a_cut_call_hides_makes_the_interval_wider(values: np.ndarray, hidden: float) -> None:
    known, unknown = difference(values, values, 0.05), difference(values, np.minimum(values + hidden, 1.0), 0.05)
    assert unknown.low == known.low
    assert unknown.high >= known.high


@pytest.mark.parametrize(("baseline", "candidate"), [(0.01, 0.01), (0.05, 0.05), (0.05, 0.2), (0.5, 0.45)])
def test_the_true_difference_is_excluded_at_some_look_in_at_most_the_share_promised(baseline: float, candidate: float) -> None:
    """1,000 looks each, 400 times: at alpha 0.05 the money against the truth reaches 1 / alpha in 5 % at most."""
    rng = np.random.default_rng(5)
    excluded = 0
    for _ in range(400):
        values = (rng.random(1000) < candidate) - rng.binomial(4, baseline, 1000) / 4
        true = candidate - baseline
        excluded += max(log_wealth(values, true).max(), log_wealth(-values, -true).max()) >= np.log(2 / 0.05)
    assert excluded <= 400 * 0.05


@pytest.mark.parametrize("q", [0.5, 0.95])
def test_the_true_quantile_lies_within_its_ranks_at_every_look(q: float) -> None:
    rng = np.random.default_rng(6)
    ranks = [quantile_ranks(n, q, 0.05) for n in range(1, 1001)]
    low, high = (np.array(column) for column in zip(*ranks, strict=True))
    missed = 0
    for _ in range(400):
        shorter = np.cumsum(rng.random(1000) < q)
        # The quantile is at least the low-th shortest, and at most the high-th.
        missed += bool(((shorter < low) | (shorter >= high)).any())
    assert missed <= 400 * 0.05


def test_few_calls_leave_the_ends_open() -> None:
    assert quantile_ranks(5, 0.95, 0.05) == (0, 6)
    assert difference(np.empty(0), np.empty(0), 0.05) == difference(np.empty(0), np.empty(0), 0.5)
