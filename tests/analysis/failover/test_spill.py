"""What priorities send to the second place."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshslo.analysis.ejection.answers import Answers
from meshslo.analysis.ejection.replay import Ejection, Replay
from meshslo.analysis.failover.spill import Failover, Spill, late_failures, spill

PODS = ("a", "b", "c", "d", "other")


def spilled(ejections: list[Ejection], count: int = 1000, over: float = 1.4) -> Spill:
    """Calls of a to d, in turn, ten a second."""
    at_s = np.arange(count) / 10.0
    pod = np.arange(count) % 4
    answers = Answers(at_s, pod, np.zeros(count, dtype=np.int64), PODS)
    return spill(answers, Replay(tuple(ejections), 0, 0, 0), PODS[:4], 30.0, over)


def test_one_of_four_is_borne_by_the_others() -> None:
    assert spilled([Ejection("a", 10.0, 40.0, "x")]) == Spill((), 0.0, 0)


def test_two_of_four_move_what_the_rest_does_not_bear() -> None:
    found = spilled([Ejection("a", 10.0, 40.0, "x"), Ejection("b", 20.0, 40.0, "x")])
    assert found.failovers == (Failover(20.0, 40.0, pytest.approx(0.3)),)
    assert found.moved == pytest.approx(200 * 0.3, abs=1)


def test_all_of_them_move_everything_until_the_end_where_they_stay_out() -> None:
    found = spilled([Ejection(pod, 50.0, None, "x") for pod in "abcd"])
    (whole,) = found.failovers
    assert (whole.from_s, whole.until_s, whole.most) == (50.0, pytest.approx(99.9), 1.0)
    assert found.moved == pytest.approx(500, abs=1)


def test_the_second_places_own_ejections_move_nothing() -> None:
    assert spilled([Ejection("other", 10.0, None, "x")]).moved == 0.0


def test_who_bears_less_moves_sooner() -> None:
    assert spilled([Ejection("a", 10.0, 40.0, "x")], over=1.0).failovers[0].most == pytest.approx(0.25)


def test_an_endpoint_that_is_out_again_at_once_flaps() -> None:
    again = [Ejection("a", 10.0, 40.0, "x"), Ejection("a", 45.0, 80.0, "x"), Ejection("b", 90.0, None, "x")]
    assert spilled(again).flaps == 1
    assert spilled([again[0], Ejection("a", 71.0, None, "x")]).flaps == 0


def test_workers_hear_of_a_second_ejection_a_second_later() -> None:
    at_s = np.arange(400) / 100.0
    answers = Answers(at_s, np.arange(400) % 2, np.full(400, 1), ("a", "b"))

    def late(*times_s: float) -> int:
        ejections = tuple(Ejection(pod, t, None, "x") for pod, t in zip("ab", times_s, strict=False))
        return late_failures(answers, Replay(ejections, 0, 0, 0), {"a", "b"})

    assert late(1.0) == 0
    assert late(1.0, 1.5) == 50
    assert late(1.0, 2.5) == 0


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 99), st.floats(0.1, 50)), max_size=8, unique_by=lambda e: e[0]))
def test_no_more_is_moved_than_was_asked_meanwhile(outs: list[tuple[str, float, float]]) -> None:
    found = spilled([Ejection(pod, at_s, at_s + length_s, "x") for pod, at_s, length_s in outs])
    assert 0.0 <= found.moved <= 10.0 * found.length_s + len(found.failovers)
    assert all(one.until_s <= two.from_s for one, two in zip(found.failovers, found.failovers[1:], strict=False))
