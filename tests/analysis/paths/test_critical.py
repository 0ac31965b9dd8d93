"""The critical path of small trees worked out by hand, and against a walk through time second by second."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshslo.analysis.paths.critical import Forest, critical_path, repair


def forest(*calls: tuple[int, float, float], cut: tuple[int, ...] = (), clock: tuple[int, ...] | None = None) -> Forest:
    """Calls as (row of the parent, begin, end)."""
    parent, begin, end = zip(*calls, strict=True)
    return Forest(
        parent=np.array(parent),
        begin_s=np.array(begin, dtype=float),
        end_s=np.array(end, dtype=float),
        cut=np.isin(np.arange(len(calls)), cut),
        clock=np.array(clock or (0,) * len(calls)),
    )


def own(*calls: tuple[int, float, float]) -> list[float]:
    return critical_path(forest(*calls)).own_s.tolist()


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        pytest.param([(-1, 0, 10)], [10], id="alone"),
        pytest.param([(-1, 0, 10), (0, 1, 4), (0, 5, 9)], [3, 3, 4], id="serial"),
        pytest.param([(-1, 0, 10), (0, 1, 4), (0, 1, 9)], [2, 0, 8], id="parallel: the longer one is waited for"),
        pytest.param([(-1, 0, 10), (0, 1, 6), (0, 4, 9)], [2, 3, 5], id="overlapping: the later-ending one takes the overlap"),
        pytest.param([(-1, 0, 10), (0, 1, 9), (0, 2, 5), (0, 6, 8)], [2, 8, 0, 0], id="what runs inside a sibling is hidden"),
        pytest.param([(-1, 0, 10), (0, 1, 9), (1, 2, 4), (1, 5, 8)], [2, 3, 2, 3], id="nested"),
        pytest.param([(-1, 0, 10), (0, 1, 6), (1, 2, 6), (0, 4, 9)], [2, 1, 2, 5], id="what is inside a part is cut with it"),
        pytest.param([(-1, 0, 10), (0, 1, 3), (0, 3, 3), (0, 4, 6)], [6, 2, 0, 2], id="a call without a duration"),
        pytest.param([(-1, 0, 10), (0, 2, 8), (0, 2, 8)], [4, 6, 0], id="two alike count once"),
        pytest.param([(-1, 0, 4), (-1, 0, 6), (1, 1, 2)], [4, 5, 1], id="two traces"),
    ],
)
def test_each_moment_belongs_to_one_call(calls: list[tuple[int, float, float]], expected: list[float]) -> None:
    assert own(*calls) == pytest.approx(expected)


def test_time_inside_counts_on_the_path_of_all_around_it() -> None:
    path = critical_path(forest((-1, 0, 10), (0, 1, 9), (1, 2, 4)))
    assert path.on_path_s.tolist() == [10, 8, 2]


def test_self_time_is_the_calls_own_whether_anybody_waited_or_not() -> None:
    path = critical_path(forest((-1, 0, 10), (0, 1, 9), (0, 2, 6), (2, 3, 5)))
    assert path.own_s.tolist() == [2, 8, 0, 0]
    assert path.self_s.tolist() == [2, 8, 2, 2]


trees = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 20), st.integers(0, 20)), min_size=0, max_size=14)


def as_forest(parts: list[tuple[int, int, int]]) -> Forest:
    """A tree on whole seconds, each call within its parent."""
    calls = [(-1, 0.0, 24.0)]
    for above, first, second in parts:
        parent = above % len(calls)
        low, high = calls[parent][1], calls[parent][2]
        begin, end = (low + (high - low) * part // 20 for part in sorted((first, second)))
        calls.append((parent, begin, end))
    return forest(*calls)


@settings(max_examples=200, deadline=None)
@given(trees)
def test_parts_of_a_trace_add_up_to_its_duration(parts: list[tuple[int, int, int]]) -> None:
    tree = as_forest(parts)
    path = critical_path(tree)
    assert path.own_s.sum() == pytest.approx(24.0)
    assert (path.own_s >= 0).all()
    assert (path.own_s <= path.self_s + 1e-9).all()
    assert (path.on_path_s <= tree.end_s - tree.begin_s + 1e-9).all()


def walked(tree: Forest) -> list[float]:
    """Second by second: from the root down to the running child that ends last (of equals the first begun)."""
    spent = [0.0] * len(tree.parent)
    for second in range(24):
        at, row = second + 0.5, 0
        while True:
            running = [
                child
                for child in range(len(spent))
                if tree.parent[child] == row and tree.begin_s[child] < at < tree.end_s[child]
            ]
            if not running:
                break
            row = min(running, key=lambda child: (-tree.end_s[child], tree.begin_s[child], child))
        spent[row] += 1.0
    return spent


@settings(max_examples=200, deadline=None)
@given(trees)
def test_the_path_is_that_of_a_walk_through_time(parts: list[tuple[int, int, int]]) -> None:
    tree = as_forest(parts)
    assert critical_path(tree).own_s.tolist() == pytest.approx(walked(tree))


# Clocks


def test_a_clock_that_is_behind_is_set_right() -> None:
    fixed = repair(forest((-1, 0, 10), (0, -3, 2), (0, 3, 5), (1, -2, 1)))
    assert fixed.forest.begin_s.tolist() == [0, 0, 6, 0]
    assert fixed.forest.end_s.tolist() == [10, 5, 8, 3]
    assert fixed.outside.tolist() == [False, True, False, True]
    assert fixed.repaired.tolist() == [False, True, False, True]


def test_one_clock_is_moved_as_a_whole_another_is_not() -> None:
    fixed = repair(forest((-1, 0, 10), (0, -3, 2), (0, 3, 5), clock=(0, 1, 2)))
    assert fixed.forest.begin_s.tolist() == [0, 0, 3]


def test_a_clock_a_little_ahead_is_set_right() -> None:
    fixed = repair(forest((-1, 0, 10), (0, 4, 10.05)))
    assert (fixed.forest.begin_s[1], fixed.forest.end_s[1]) == (pytest.approx(3.95), 10)
    assert fixed.repaired[1]


def test_what_outlasts_a_call_that_ended_well_was_not_waited_for() -> None:
    fixed = repair(forest((-1, 0, 10), (0, 4, 30)))
    assert (fixed.unawaited[1], fixed.repaired[1]) == (True, False)
    assert critical_path(fixed.forest).own_s.tolist() == [10, 0]


def test_what_outlasts_a_call_that_was_cut_was_waited_for_until_then() -> None:
    fixed = repair(forest((-1, 0, 10), (0, 4, 30), cut=(0,)))
    assert not fixed.unawaited[1]
    assert critical_path(fixed.forest).own_s.tolist() == [4, 6]


def test_what_no_shift_puts_right_is_cut_to_fit() -> None:
    fixed = repair(forest((-1, 0, 10), (0, -5, 8)))
    assert (fixed.outside[1], fixed.repaired[1]) == (True, False)
    assert (fixed.forest.begin_s[1], fixed.forest.end_s[1]) == (0, 8)


anywhere = st.tuples(st.integers(0, 30), st.floats(-5, 30), st.floats(0, 20), st.integers(0, 2), st.booleans())


@settings(max_examples=200, deadline=None)
@given(st.lists(anywhere, max_size=14))
def test_whatever_clocks_say_the_parts_add_up(parts: list[tuple[int, float, float, int, bool]]) -> None:
    calls = [(-1, 0.0, 24.0), *((above % n, begin, begin + took) for n, (above, begin, took, _, _) in enumerate(parts, 1))]
    cut = tuple(n for n, part in enumerate(parts, 1) if part[4])
    fixed = repair(forest(*calls, cut=cut, clock=(0, *(part[3] for part in parts)))).forest
    inner = fixed.parent >= 0
    assert (fixed.begin_s[inner] >= fixed.begin_s[fixed.parent[inner]] - 1e-9).all()
    assert (fixed.end_s[inner] <= fixed.end_s[fixed.parent[inner]] + 1e-9).all()
    assert critical_path(fixed).own_s.sum() == pytest.approx(24.0)
