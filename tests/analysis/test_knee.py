"""The knee of latency over load, on callees whose slots are known."""

import numpy as np
import pytest

from meshslo.analysis.knee import Peak, find_knee, find_peak
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
    ones, none = np.ones(500), np.empty(0)
    for find in (find_knee, find_peak):
        assert find(ones, ones, np.arange(500) // 20, confidence=0.95, rng=np.random.default_rng(1)).status == "unknown"
        assert find(none, none, none.astype(int), confidence=0.95, rng=np.random.default_rng(1)).status == "unknown"


def peak_of(contention: float, coherency: float, seed: int = 1) -> Peak:
    rng = np.random.default_rng(seed)
    load = rng.integers(1, 80, 4000).astype(float)
    slowness = (1.0 + contention * (load - 1.0) + coherency * load * (load - 1.0)) * rng.lognormal(0, 0.3, 4000)
    return find_peak(load, slowness, np.arange(4000) // 130, confidence=0.95, rng=rng)


@pytest.mark.parametrize(("contention", "coherency"), [(0.02, 0.0005), (0.1, 0.002), (0.0, 0.001), (0.3, 0.003)])
def test_the_peak_of_a_service_under_the_scalability_law_is_where_its_formula_has_it(
    contention: float, coherency: float
) -> None:
    peak, truth = peak_of(contention, coherency), ((1.0 - contention) / coherency) ** 0.5
    assert peak.status == "found"
    assert peak.at == pytest.approx(truth, rel=0.1)
    assert peak.low is not None
    assert peak.high is not None
    assert 0.9 * peak.low <= truth <= 1.1 * peak.high


@pytest.mark.parametrize(("contention", "coherency"), [(0.05, 0.0), (0.02, 0.0001), (0.0, 0.0)])
def test_no_peak_is_made_up_where_throughput_still_grew(contention: float, coherency: float) -> None:
    assert peak_of(contention, coherency).status == "none"


@pytest.mark.parametrize("slots", [6, 16, 40])
def test_the_law_is_not_believed_where_a_bend_fits_better(slots: int) -> None:
    """Its formula puts the peak of six slots at 0, and that of forty at twenty."""
    answers = queued_calls(slots, 0.9).with_columns(first_token_s=None, chunks=1, output_tokens=None)
    assert loads_by_callee(answers.lazy())["generator"].peak(0.95, seed=1).status == "none"


def test_noise_alone_has_no_peak() -> None:
    assert [peak_of(0.0, 0.0, seed).status for seed in range(2, 40)].count("found") <= 1


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
