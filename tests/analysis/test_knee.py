"""The knee of latency over load, on callees whose slots are known."""

import numpy as np
import pytest

from meshslo.analysis.knee import find_knee
from meshslo.analysis.recommend.load import CalleeLoad, loads_by_callee
from tests.support.queues import queued_calls


def load_of(slots: int, utilisation: float, *, seed: int = 1, count: int = 2000) -> CalleeLoad:
    return loads_by_callee(queued_calls(slots, utilisation, seed=seed, count=count).lazy())["generator"]


@pytest.mark.parametrize("slots", [6, 16, 40])
@pytest.mark.parametrize("utilisation", [0.6, 0.9])
def test_the_knee_is_where_the_slots_end(slots: int, utilisation: float) -> None:
    knee = load_of(slots, utilisation).wait_knee(0.95, seed=1)
    assert knee.status == "found"
    assert knee.low is not None
    assert knee.high is not None
    assert knee.at == pytest.approx(slots, abs=max(1.5, 0.15 * slots))
    assert knee.low - 1.5 <= slots <= knee.high + 1.5


def test_no_knee_is_seen_where_load_never_got_there() -> None:
    knee = load_of(60, 0.3).wait_knee(0.95, seed=1)
    assert (knee.status, knee.at) == ("none", None)
    assert knee.up_to < 60


def test_tokens_that_take_as_long_under_any_load_have_no_knee() -> None:
    assert load_of(10, 0.9).token_knee(0.95, seed=1).status == "none"


def test_noise_alone_has_no_knee() -> None:
    """Of 200 samples without any effect of load, next to none shows one."""
    found = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        load, block = rng.integers(1, 20, 600).astype(float), np.arange(600) // 20
        found += find_knee(load, rng.lognormal(0, 0.5, 600), block, confidence=0.95, rng=rng).status == "found"
    assert found <= 4


def test_latency_that_grows_from_the_first_call_on_has_no_level_to_leave() -> None:
    rng = np.random.default_rng(3)
    load = rng.integers(1, 30, 3000).astype(float)
    knee = find_knee(load, load * rng.lognormal(0, 0.1, 3000), np.arange(3000) // 100, confidence=0.95, rng=rng)
    assert knee.status == "everywhere"


def test_too_few_loads_tell_nothing() -> None:
    ones = np.ones(500)
    assert find_knee(ones, ones, np.arange(500) // 20, confidence=0.95, rng=np.random.default_rng(1)).status == "unknown"
    none = np.empty(0)
    assert find_knee(none, none, none.astype(int), confidence=0.95, rng=np.random.default_rng(1)).status == "unknown"


def test_long_prompts_are_no_load() -> None:
    """Prompts twice as long in busy times: their first tokens come later, and not because of load."""
    calls = queued_calls(100, 0.4, count=3000).sort("start")
    load = loads_by_callee(calls.lazy())["generator"]
    busy = load.met > np.median(load.met)
    rows = calls.with_columns(
        first_token_s=np.where(busy, 2.0, 1.0) * calls["first_token_s"].to_numpy(),
        input_tokens=np.where(busy, 2000, 200),
    )
    confounded = loads_by_callee(rows.lazy())["generator"]
    assert confounded.wait_knee(0.95, seed=1).status == "none"
