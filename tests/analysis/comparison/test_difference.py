"""Differences with intervals: the literature's examples, laws, and how often the truth is held."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from meshslo.analysis.comparison.difference import LEVELS, Limits, difference, holm, p_values, shares

ends = st.tuples(st.floats(0, 100), st.floats(0, 10), st.floats(0, 10))


def limits(value: float, below: float, above: float) -> Limits:
    return Limits(*(np.array([x]) for x in (value, value - below, value + above)))


@pytest.mark.parametrize(
    ("hits", "calls", "expected"),
    [
        # Newcombe 1998, table II, method 10: (a) 56/70 - 48/80, (d) 5/56 - 0/29, (g) 10/10 - 0/10.
        ((48, 56), (80, 70), (0.0524, 0.3339)),
        ((0, 5), (29, 56), (-0.0381, 0.1926)),
        ((0, 10), (10, 10), (0.6075, 1.0)),
    ],
)
def test_differences_of_shares_are_newcombes(
    hits: tuple[int, int], calls: tuple[int, int], expected: tuple[float, float]
) -> None:
    found = difference(shares([hits[0]], [calls[0]]), shares([hits[1]], [calls[1]]))
    assert (found.low[0], found.high[0]) == pytest.approx(expected, abs=1e-4)


@given(ends, ends)
def test_a_difference_turns_its_sign_with_its_sides(a: tuple[float, float, float], b: tuple[float, float, float]) -> None:
    there, back = difference(limits(*a), limits(*b)), difference(limits(*b), limits(*a))
    assert there.low[0] == pytest.approx(-back.high[0])
    assert there.low[0] <= there.estimate[0] <= there.high[0]
    # No wider than the difference of the limits.
    assert there.high[0] <= b[0] + b[2] - (a[0] - a[1]) + 1e-9


def test_what_is_only_known_to_be_more_leaves_an_end_open() -> None:
    unseen = Limits(np.array([np.nan]), np.array([3.0]), np.array([np.inf]))
    slower = difference(limits(1.0, 0.1, 0.1), unseen)
    assert np.isnan(slower.estimate[0])
    assert (slower.low[0], slower.high[0]) == (pytest.approx(1.9), np.inf)
    nothing = Limits(*(np.array([np.nan]),) * 3)
    assert np.isnan(difference(limits(1.0, 0.1, 0.1), nothing).low[0])


@given(st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=12))
def test_holm_is_no_less_strict_than_one_alone_and_no_stricter_than_bonferroni(values: list[float]) -> None:
    alone = np.array(values)
    adjusted = holm(alone)
    assert (adjusted >= alone - 1e-15).all()
    assert (adjusted <= np.minimum(alone * len(alone), 1.0) + 1e-15).all()
    assert adjusted.min() == pytest.approx(min(alone.min() * len(alone), 1.0))


def test_a_p_value_is_that_of_the_interval_that_just_leaves_out_nothing() -> None:
    def at(confidence: float) -> Limits:
        z = norm.ppf(0.5 + confidence / 2)
        middle = np.array([0.0, 1.0, 2.5, 40.0])
        return Limits(middle, middle - z, middle + z)

    exact = 2 * norm.sf([0.0, 1.0, 2.5, 40.0])
    found = p_values(at)
    for value, truth in zip(found, exact, strict=True):
        assert value == min([level for level in LEVELS if level >= truth], default=1.0)
