"""Growth of counters: every call counted once, whatever restarts, is missing or begins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshslo.telemetry.prometheus.increase import increase

NONE = float("nan")


def grown(rows: list[list[float]], group: list[int] | None = None, target: list[int] | None = None) -> list[list[float]]:
    number = list(range(len(rows)))
    found = increase(np.array(rows, dtype=float), np.array(group or number), np.array(target or [0] * len(rows)))
    return found.counts.tolist()


def test_growth_is_the_difference_of_neighbours() -> None:
    assert grown([[3, 5, 5, 9]]) == [[2, 0, 4]]


def test_a_value_that_falls_is_a_restart_and_counts_from_zero() -> None:
    assert grown([[5, 7, 2, 3]]) == [[2, 2, 1]]


def test_a_restart_that_one_bucket_shows_is_one_of_all_its_histogram() -> None:
    low, high = [5.0, 7.0], [100.0, 50.0]
    assert grown([low, high], group=[0, 0]) == [[7], [50]], "7 and 50 calls since the restart, not 2 and 50"


def test_a_restart_of_another_process_is_none_of_this_one() -> None:
    assert grown([[5, 2], [5, 7]], target=[0, 1]) == [[2], [2]]


def test_growth_over_missing_samples_counts_when_the_series_is_back() -> None:
    assert grown([[5, NONE, NONE, 9]]) == [[0, 0, 4]]


def test_a_series_that_its_target_shows_later_began_at_zero() -> None:
    assert grown([[1, 2, 3], [NONE, 4, 5]]) == [[1, 1], [4, 1]], "the first timeout is a call"


def test_a_series_that_comes_with_its_target_has_a_baseline() -> None:
    found = increase(np.array([[1.0, 2.0], [NONE, 40.0]]), np.array([0, 1]), np.array([0, 1]))
    assert found.counts.tolist() == [[1], [0]]
    assert found.before.tolist() == [0, 40]


def test_nothing_in_nothing_out() -> None:
    assert increase(np.empty((0, 3)), np.empty(0, dtype=int), np.empty(0, dtype=int)).counts.shape == (0, 2)


@st.composite
def processes(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    """(values as scraped, true growth of each step) of a counter whose process may restart just after a scrape."""
    values, true = [float(draw(st.integers(0, 50)))], []
    for _ in range(draw(st.integers(1, 12))):
        grows = float(draw(st.integers(0, 9)))
        restarts = draw(st.booleans()) and grows < values[-1]
        values.append(grows if restarts else values[-1] + grows)
        true.append(grows)
    return values, true


@settings(deadline=None)
@given(processes())
def test_every_call_counts_in_its_step(process: tuple[list[float], list[float]]) -> None:
    values, true = process
    assert grown([values]) == [true]


@settings(deadline=None)
@given(processes(), st.data())
def test_two_windows_that_share_an_edge_count_as_one(process: tuple[list[float], list[float]], data: st.DataObject) -> None:
    values, true = process
    cut = data.draw(st.integers(0, len(true)))
    parts = [grown([part]) if len(part) > 1 else [[]] for part in (values[: cut + 1], values[cut:])]
    assert parts[0][0] + parts[1][0] == true


@settings(deadline=None)
@given(processes(), st.data())
def test_samples_that_are_missing_lose_no_call_of_a_steady_process(
    process: tuple[list[float], list[float]], data: st.DataObject
) -> None:
    values = np.cumsum(process[0])
    gaps = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    holed = [
        NONE if gap and 0 < place < len(values) - 1 else value
        for place, (value, gap) in enumerate(zip(values, gaps, strict=True))
    ]
    assert sum(grown([holed])[0]) == pytest.approx(values[-1] - values[0])
