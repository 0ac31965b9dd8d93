"""Calls in progress."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshslo.analysis.concurrency import littles_law, refused, sweep

SPANS = st.lists(st.tuples(st.floats(0, 100), st.floats(0.001, 50)), min_size=1, max_size=40)


def arrays(spans: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    starts, lengths = (np.array(column) for column in zip(*sorted(spans), strict=True))
    return starts, starts + lengths


@given(SPANS)
def test_the_sweep_counts_as_looking_at_every_call_does(spans: list[tuple[float, float]]) -> None:
    starts, ends = arrays(spans)
    found = sweep(starts, ends)
    for moment in (*starts, *ends, 33.3):
        slowly = int(((starts < moment) & (ends >= moment)).sum())
        assert found.before(np.array([moment]))[0] == pytest.approx(slowly)
    assert found.level[-1] == pytest.approx(0.0)


@given(SPANS)
def test_littles_law_holds_over_the_whole_span(spans: list[tuple[float, float]]) -> None:
    starts, ends = arrays(spans)
    found = sweep(starts, ends)
    assert littles_law(len(starts) / found.span_s, float((ends - starts).mean())) == pytest.approx(found.mean)


@given(SPANS)
def test_what_a_call_meets_on_average_is_at_least_itself(spans: list[tuple[float, float]]) -> None:
    starts, ends = arrays(spans)
    found = sweep(starts, ends)
    met = found.during(starts, ends)
    assert (met >= 1.0 - 1e-6).all()
    assert (met <= found.peak + 1e-6).all()


def test_a_sampled_call_stands_for_those_left_out() -> None:
    assert sweep(np.array([0.0]), np.array([1.0]), np.array([4.0])).peak == 4.0


def test_nothing_was_in_progress_before_and_after() -> None:
    found = sweep(np.array([1.0]), np.array([2.0]))
    assert found.before(np.array([0.5, 1.0, 1.5, 3.0])).tolist() == [0.0, 0.0, 1.0, 0.0]


@given(SPANS, st.integers(1, 8))
def test_a_breaker_lets_no_more_through_at_a_time_and_refuses_nobody_else(spans: list[tuple[float, float]], limit: int) -> None:
    starts, ends = arrays(spans)
    gone = refused(starts, ends, limit)
    kept = sweep(starts[~gone], ends[~gone])
    assert kept.peak <= limit + 1e-9
    for number in np.flatnonzero(gone):
        running = (starts[:number] <= starts[number]) & (ends[:number] > starts[number]) & ~gone[:number]
        assert running.sum() == limit
