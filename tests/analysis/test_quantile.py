"""Intervals without censoring: sample sizes, order statistics, proportions; and what is not identifiable."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from meshslo.analysis import histogram
from meshslo.analysis.interval import order_ranks, proportion, wilson
from meshslo.analysis.quantile import calls_needed
from meshslo.analysis.survival import LifeTable
from tests.support.samples import held, life_tables_of

ERROR = histogram.relative_error()


@pytest.mark.parametrize(
    ("q", "confidence", "needed"),
    [(0.95, 0.95, 59), (0.99, 0.95, 299), (0.999, 0.95, 2995), (0.99, 0.90, 230), (0.99, 0.99, 459)],
)
def test_sample_sizes_are_those_of_wilks(q: float, confidence: float, needed: int) -> None:
    assert calls_needed(q, confidence) == needed


@pytest.mark.parametrize(("n", "low", "high"), [(1000, 983, 997), (10_000, 9880, 9920)])
def test_ranks_are_those_of_the_literature(n: int, low: int, high: int) -> None:
    ranks = order_ranks(n, 0.99)
    assert (ranks.low, ranks.high) == (low, high)


@given(st.integers(1, 5000), st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999]), st.sampled_from([0.8, 0.95, 0.99]))
def test_an_interval_of_ranks_has_at_least_its_confidence(n: int, q: float, confidence: float) -> None:
    ranks = order_ranks(n, q, confidence)
    low, high, upper = float(ranks.low), float(ranks.high), float(ranks.upper)
    above = 1.0 if high > n else binom.cdf(high - 1, n, q)
    below = binom.cdf(low - 1, n, q) if low >= 1 else 0.0
    assert above - below >= confidence - 1e-9
    assert upper > n or binom.cdf(upper - 1, n, q) >= confidence - 1e-9
    assert (high <= n) == (n >= calls_needed(q, confidence))


@pytest.mark.parametrize(
    ("calls", "status", "needs"), [(298, "not_identifiable", 1), (299, "ok", None), (0, "not_identifiable", 299)]
)
def test_p99_needs_299_calls(calls: int, status: str, needs: int | None) -> None:
    answer = LifeTable.from_durations(np.linspace(1.0, 2.0, calls)).quantile(0.99)
    assert (answer.status, answer.needs_calls) == (status, needs)
    assert (answer.value_s is None) == (status != "ok")


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(300, 3000), st.sampled_from([0.5, 0.95, 0.99]))
def test_without_cuts_the_answer_is_the_exact_order_statistic(seed: int, n: int, q: float) -> None:
    durations = np.sort(np.random.default_rng(seed).lognormal(0, 1.5, n))
    answer, ranks = LifeTable.from_durations(durations).quantile(q), order_ranks(n, q)
    exact = durations[math.ceil(q * n - 1e-9) - 1]
    assert answer.value_s == pytest.approx(exact, rel=ERROR * 1.001)
    assert answer.completed_value_s == answer.value_s
    for end, rank in ((answer.low_s, ranks.low), (answer.high_s, ranks.high), (answer.upper_s, ranks.upper)):
        assert end == pytest.approx(durations[int(rank) - 1], rel=2.1 * ERROR)
    assert answer.low_s <= durations[int(ranks.low) - 1] * (1 + 1e-12)
    assert answer.high_s >= durations[int(ranks.high) - 1] * (1 - 1e-12)


@pytest.mark.parametrize("q", [0.0, 1.0, 1.5, -0.1, math.nan])
def test_a_share_outside_its_range_is_named(q: float) -> None:
    with pytest.raises(ValueError, match=r"outside \(0, 1\)"):
        LifeTable.from_durations([1.0]).quantile(q)


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (3, 20), (20, 20), (997, 1000)])
def test_proportions_have_scipys_limits(hits: int, n: int) -> None:
    exact = binomtest(hits, n).proportion_ci(0.95, "exact")
    assert [float(limit) for limit in proportion(hits, n)] == pytest.approx([exact.low, exact.high])
    score = binomtest(hits, n).proportion_ci(0.95, "wilson")
    assert [wilson(hits, n).low, wilson(hits, n).high] == pytest.approx([score.low, score.high])


def test_nothing_seen_says_nothing_about_a_share() -> None:
    nothing = wilson(0, 0)
    assert math.isnan(nothing.estimate)
    assert (nothing.low, nothing.high) == (0.0, 1.0)


@pytest.mark.parametrize(("n", "q"), [(299, 0.99), (1000, 0.99), (100, 0.95), (1000, 0.5)])
def test_an_interval_holds_the_truth_as_often_as_it_says(n: int, q: float) -> None:
    rng = np.random.default_rng(20261102)
    truth = math.exp(1.2 * 0.0) if q == 0.5 else float(np.exp(1.2 * _normal_quantile(q)))
    answers = life_tables_of(rng.lognormal(0, 1.2, (400, n))).quantiles(q, 0.95)
    assert (answers.status == "ok").all()
    # Discrete ranks and bucket edges make it a little wider than 95 %.
    assert 0.93 <= np.mean(held(answers, truth)) <= 0.995
    assert np.mean(truth <= answers.upper_s) >= 0.93


def _normal_quantile(q: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf(q))
