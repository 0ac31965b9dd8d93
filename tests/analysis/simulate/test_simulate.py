"""The whole of it: laws that hold for any calls, what is said where calls show nothing, and mistakes of users."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshslo.analysis.api import from_calls
from meshslo.analysis.recommend import observe, recommend
from meshslo.analysis.simulate import Simulation
from meshslo.telemetry.errors import BadInputError, StoreError
from tests.support.calls import make_call, make_calls
from tests.support.policies import advice_of, timeout
from tests.support.proposals import mesh_of, retries
from tests.support.scenes import CONFIG, chain_calls, plain_calls

HOP = "gateway>generator"


def figure(found: Simulation, name: str, hop: str = HOP) -> Any:
    return next(row.figures[name] for row in found.rows if row.keys["hop"] == hop)


CALLS = st.lists(
    st.tuples(
        st.floats(0.01, 5.0), st.sampled_from(["ok", "ok", "ok", "error", "rejected", "cancelled"]), st.floats(0.0, 60.0)
    ),
    min_size=1,
    max_size=60,
)


def calls_of(drawn: list[tuple[float, str, float]]) -> pl.DataFrame:
    rows = [make_call(duration_s=d, outcome=o, at_s=at, vantage="client", streaming=False) for d, o, at in drawn]
    return make_calls(rows)


@settings(max_examples=20, deadline=None)
@given(CALLS)
def test_without_timers_and_repetitions_what_was_seen_happens_again(drawn: list[tuple[float, str, float]]) -> None:
    found = from_calls(calls_of(drawn)).simulate(mesh_of())
    for name in ("cut_ratio", "success_ratio", "amplification", "peak_concurrency"):
        contrast = figure(found, name)
        assert contrast.after.value == (None if contrast.observed is None else pytest.approx(contrast.observed)), name


@settings(max_examples=20, deadline=None)
@given(CALLS, st.floats(0.02, 4.0), st.floats(1.0, 3.0))
def test_a_longer_timeout_never_cuts_more(drawn: list[tuple[float, str, float]], limit_s: float, times: float) -> None:
    store = from_calls(calls_of(drawn))
    shorter, longer = (store.simulate(mesh_of(timeout=f"{s:.3f}s")) for s in (limit_s, limit_s * times))
    assert figure(longer, "cut_ratio").after.low <= figure(shorter, "cut_ratio").after.high
    if figure(longer, "cut_ratio").after.value is not None and figure(shorter, "cut_ratio").after.value is not None:
        assert figure(longer, "cut_ratio").after.value <= figure(shorter, "cut_ratio").after.value + 1e-9


@settings(max_examples=15, deadline=None)
@given(CALLS)
def test_a_value_lies_in_its_interval_and_shares_are_shares(drawn: list[tuple[float, str, float]]) -> None:
    found = from_calls(calls_of(drawn)).simulate(mesh_of(timeout="1s", retry_policy=retries(1)))
    for name, contrast in figure_of_all(found):
        for side in (contrast.before, contrast.after, contrast.change):
            assert side.value is None or side.low - 1e-9 <= side.value <= side.high + 1e-9, name
        if name.endswith("_ratio") and contrast.after.low is not None:
            assert 0.0 <= contrast.after.low <= contrast.after.high <= 1.0


def figure_of_all(found: Simulation) -> list[tuple[str, Any]]:
    return [*found.chain.items(), *(pair for row in found.rows for pair in row.figures.items())]


def test_the_order_of_calls_changes_nothing_and_a_seed_gives_the_same_answer() -> None:
    calls = chain_calls(120, cap_s=2.0)
    proposed = mesh_of("gateway", "retriever", "generator", timeout="3s", retry_policy=retries(1))
    first, second = (
        from_calls(frame).simulate(proposed, seed=4) for frame in (calls, calls.sample(fraction=1.0, shuffle=True, seed=1))
    )
    assert first.to_json() == second.to_json()
    assert first.to_json() != from_calls(calls).simulate(proposed, seed=5).to_json()


def test_the_policy_of_now_gives_what_was_seen() -> None:
    calls = chain_calls(400, cap_s=2.0)
    mesh = mesh_of("gateway", timeout="2s")
    found = from_calls(calls).simulate(mesh, current=mesh)
    for name in ("streams_cut_ratio", "success_ratio"):
        contrast = found.chain[name]
        assert contrast.before.low <= contrast.observed <= contrast.before.high
        assert contrast.before.value == pytest.approx(contrast.observed, abs=0.01)
        assert (contrast.change.low, contrast.change.value) == (
            -contrast.change.high,
            0.0,
        ) or contrast.change.low <= 0 <= contrast.change.high


def test_what_a_cap_hides_is_between_none_and_all() -> None:
    hidden = from_calls(chain_calls(800, cap_s=2.0)).simulate(mesh_of("gateway", timeout="20s"))
    cut = hidden.chain["streams_cut_ratio"]
    assert cut.observed > 0.2
    assert (cut.after.value, cut.after.low, cut.after.status) == (None, 0.0, "bounded")
    assert cut.after.high >= cut.observed
    assert any("between none and all of them" in note for note in hidden.notes)
    whole = from_calls(chain_calls(800)).simulate(mesh_of("gateway", timeout="20s"))
    assert whole.chain["streams_cut_ratio"].after.high < 0.02


def test_a_shorter_timeout_is_predicted_from_whole_calls() -> None:
    """The same requests were played under a cap of 2 s: what it cut is known."""
    truth = from_calls(chain_calls(800, cap_s=2.0)).simulate(mesh_of("gateway"))
    found = from_calls(chain_calls(800)).simulate(mesh_of("gateway", timeout="2s"))
    cut = found.chain["streams_cut_ratio"]
    assert cut.after.value == pytest.approx(truth.chain["streams_cut_ratio"].observed, abs=0.02)
    assert cut.after.low < truth.chain["streams_cut_ratio"].observed < cut.after.high


def test_recommendations_are_tried_over_what_is_at_work_now() -> None:
    calls = plain_calls(np.random.default_rng(1).exponential(1.0, 600))
    found = from_calls(calls).simulate(advice_of(timeout(2.0)))
    cut = figure(found, "cut_by_total_timeout")
    assert cut.after.value == pytest.approx(float(np.exp(-2.0)), abs=0.04)
    advice = recommend(observe(calls.lazy(), CONFIG), ["timeouts"])
    promised = next(item for item in advice.items if item.setting == "total_timeout" and item.target.model is None)
    kept = figure(from_calls(calls).simulate(advice), "cut_ratio")
    assert kept.after.value <= promised.effect["false_timeout_rate"].after_high


def test_a_hop_that_is_not_proposed_for_goes_on_and_is_named() -> None:
    found = from_calls(chain_calls(200)).simulate(mesh_of("gateway", timeout="3s"))
    assert any(note.startswith("gateway>retriever /search") and "nothing proposed leads there" in note for note in found.notes)
    assert figure(found, "cut_ratio", "gateway>retriever").after.value == 0.0


def test_rows_are_told_apart_as_asked() -> None:
    found = from_calls(chain_calls(200)).simulate(mesh_of("gateway", "retriever", "generator"), by=["model"])
    assert [row.keys["model"] for row in found.rows if row.keys["hop"] == HOP] == ["large", "small"]
    assert sum(row.requests for row in found.rows if row.keys["hop"] == HOP) == 200
    assert found.frame.columns[:3] == ["hop", "model", "quantity"]


def test_sampled_calls_count_by_their_weight() -> None:
    rows = [make_call(duration_s=3.0, weight=1.0, at_s=n) for n in range(60)]
    rows += [make_call(duration_s=1.0, weight=9.0, at_s=n) for n in range(60)]
    found = from_calls(make_calls(rows)).simulate(mesh_of(timeout="2s"))
    assert figure(found, "cut_ratio").after.value == pytest.approx(0.1)


def test_calls_without_a_duration_are_left_out_and_said() -> None:
    rows = [make_call(at_s=n) for n in range(20)] + [make_call(duration_s=None)]
    found = from_calls(make_calls(rows)).simulate(mesh_of())
    assert found.calls == 20
    assert "1 calls whose duration nobody saw are left out" in found.notes


def test_a_proposal_that_concerns_none_of_the_calls_is_refused() -> None:
    with pytest.raises(BadInputError, match="is about payments, and they go to generator"):
        from_calls(plain_calls([1.0])).simulate(mesh_of("payments"))


@pytest.mark.parametrize("columns", [{"duration_s": None}, {"caller": "unknown"}])
def test_calls_of_which_none_can_be_replayed_are_refused(columns: dict[str, Any]) -> None:
    with pytest.raises(BadInputError, match="calls can be replayed: that takes a duration and to know who called whom"):
        from_calls(make_calls([make_call(**columns)])).simulate(mesh_of())


def test_services_that_call_each_other_in_a_circle_are_replayed_up_to_a_depth() -> None:
    names = [("a", "generator"), ("generator", "a")] * 20
    rows = [make_call(trace_id=b"x" * 16, caller=caller, callee=callee, at_s=n) for n, (caller, callee) in enumerate(names)]
    assert from_calls(make_calls(rows)).simulate(mesh_of()).calls == 40


def test_keys_that_there_are_not_are_refused() -> None:
    with pytest.raises(BadInputError, match="hop, route, model, tenant, not by pod"):
        from_calls(plain_calls([1.0])).simulate(mesh_of(), by=["pod"])


def test_a_window_without_calls_is_refused() -> None:
    with pytest.raises(StoreError, match="no calls started in"):
        from_calls(plain_calls([1.0])).simulate(mesh_of(), since=datetime(2030, 1, 1, tzinfo=UTC))


@pytest.mark.slow
@pytest.mark.no_cover
def test_the_interval_holds_what_the_next_window_shows() -> None:
    """Windows whose slow minutes come in bursts; 95 % promised, 86 % of 50 asked for (3 sigma below)."""
    held = 0
    for seed in range(50):
        now, following = (bursty(np.random.default_rng([seed, window])) for window in range(2))
        cut = figure(from_calls(now).simulate(mesh_of(timeout="2s")), "cut_ratio").after
        truth = (following["duration_s"] > 2.0).mean()
        held += cut.low <= truth <= cut.high
    assert held >= 0.86 * 50


def bursty(rng: np.random.Generator) -> pl.DataFrame:
    """400 calls in which stretches of ten are slow together now and then."""
    slow = np.repeat(rng.uniform(size=40) < 0.15, 10)
    return plain_calls(rng.lognormal(0.0, 0.5, 400) * np.where(slow, 2.5, 1.0))
