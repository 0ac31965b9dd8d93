"""Pods that fail and pods that are slow, on fleets whose truth is known."""

import numpy as np
import pytest

from meshslo.analysis.ejection.answers import answers_of
from meshslo.analysis.ejection.unlike import broken_pods, slow_pods
from tests.support.fleets import fleet_calls


def test_a_pod_that_fails_more_is_found_with_the_time_it_did() -> None:
    (found,) = broken_pods(answers_of(fleet_calls(failed={2: 0.9}, failing_from_s=300.0)))
    assert found.pod == "generator-2"
    assert found.share > 0.3
    assert found.others_share < 0.02
    assert found.from_s == pytest.approx(300.0, abs=10)
    assert found.until_s > 780


def test_a_pod_twice_as_slow_is_found_with_the_ratio() -> None:
    (found,) = slow_pods(fleet_calls(slower={1: 1.5}), confidence=0.95)
    assert found.pod == "generator-1"
    assert found.low < 1.5 < found.high
    assert found.ratio == pytest.approx(1.5, rel=0.05)


def test_long_prompts_make_no_pod_slow() -> None:
    """Affinity sends the long prompts to one pod: pooled it is three times as slow."""
    assert slow_pods(fleet_calls(prompts={0: 3.0}), confidence=0.95) == []


def test_a_slow_hour_of_all_pods_makes_none_slow() -> None:
    calls = fleet_calls()
    late = np.where(np.arange(calls.height) > 2000, 4.0, 1.0)
    assert slow_pods(calls.with_columns(first_token_s=calls["first_token_s"] * late), confidence=0.95) == []


@pytest.mark.parametrize("kind", ["slow", "broken"])
def test_in_fleets_of_like_pods_next_to_none_is_found(kind: str) -> None:
    """With false discoveries held at 5 %, at most one fleet in twenty names any pod."""
    named = 0
    for seed in range(120):
        calls = fleet_calls(800, pods=6, base=0.05, seed=seed)
        found = slow_pods(calls, confidence=0.95) if kind == "slow" else broken_pods(answers_of(calls))
        named += bool(found)
    assert named <= 6


def test_few_calls_say_nothing() -> None:
    assert slow_pods(fleet_calls(60, slower={1: 5.0}), confidence=0.95) == []
    assert slow_pods(fleet_calls(500, pods=1), confidence=0.95) == []
