"""Calls that end at one value without a flag: found, named, and counted as cut; ordinary durations are left alone."""

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshslo.analysis.api import from_calls
from meshslo.analysis.config import parse_config
from meshslo.analysis.deadlines import OWNERS, Pile, cut_calls, cut_rollup, find_piles, likely, owners
from meshslo.analysis.rollup import Rollup, roll_up
from tests.support.scenes import plain_calls

KEYS = ["hop", "route"]
ONE_PERCENT = parse_config("[objectives]\nfalse_timeout_ratio = 0.01")


def rolled(calls: pl.DataFrame) -> Rollup:
    return roll_up(calls.lazy(), keys=KEYS, bucket=None, phases=["total"])


def under_a_timer(at_s: float, outcome: str, n: int = 3000, seed: int = 1) -> pl.DataFrame:
    """Calls of a hop behind a timer that nobody tells of: it fires up to 20 ms late, and the call ends as `outcome`."""
    rng = np.random.default_rng(seed)
    whole = rng.lognormal(np.log(at_s / 4), 0.8, n)
    late = at_s + rng.uniform(0.0, 0.02, n)
    calls = pl.concat([plain_calls(whole[whole < at_s]), plain_calls(late[whole >= at_s], outcome=outcome)])
    # Those that the timer ends come at any time, not all of them first.
    return calls.with_columns(pl.col("start").shuffle(seed=seed))


@pytest.mark.parametrize("outcome", ["ok", "error"])
@pytest.mark.parametrize("at_s", [10.0, 15.0, 60.0, 600.0])
def test_a_pile_is_found_and_named(at_s: float, outcome: str) -> None:
    calls = under_a_timer(at_s, outcome)
    (pile,) = find_piles(rolled(calls))
    assert pile.value_s == at_s
    cut = calls.filter(pl.col("duration_s") >= at_s).height
    assert pile.outcomes[outcome] == pytest.approx(cut, abs=5)
    assert "the default of" in str(pile)


@pytest.mark.parametrize("at_s", [10.0, 15.0, 60.0])
def test_what_was_cut_counts_as_longer(at_s: float) -> None:
    calls = under_a_timer(at_s, "ok")
    found = from_calls(calls).report(by=["hop"], quantiles=[0.5, 0.99])
    half, tail = found.rows()[0]["quantiles"]
    assert half["status"] == "ok"
    assert tail["status"] == "at_least"
    assert tail["value_s"] == pytest.approx(at_s, rel=0.03)
    assert found.rows()[0]["outcomes"]["ok"] == 3000  # how they are said to have ended is not rewritten
    assert [pile.value_s for pile in found.piles] == [at_s]


def test_a_timer_of_errors_may_have_any_value() -> None:
    (pile,) = find_piles(rolled(under_a_timer(42.0, "error")))
    assert pile.value_s == 42.0
    assert find_piles(rolled(under_a_timer(42.0, "ok"))) == ()
    assert likely(42.0) == "a timer's value"


def test_a_route_has_a_pile_of_its_own() -> None:
    other = plain_calls(np.random.default_rng(2).lognormal(3.5, 0.5, 2000), route="/long")
    (pile,) = find_piles(rolled(pl.concat([under_a_timer(15.0, "ok"), other])))
    assert (pile.route, pile.value_s) == ("/v1/chat", 15.0)


def test_cells_and_calls_are_cut_alike() -> None:
    calls = under_a_timer(15.0, "error")
    rollup = rolled(calls)
    piles = find_piles(rollup)
    by_cells, by_calls = cut_rollup(rollup, piles), rolled(cut_calls(calls.lazy(), piles).collect())
    shown = ["index", "event", "censored", "count"]
    ended = pl.col("event") | pl.col("censored")
    assert by_cells.cells.filter(ended).select(shown).equals(by_calls.cells.filter(ended).select(shown))
    assert by_cells.calls == by_calls.calls == 3000


def test_without_piles_nothing_is_touched() -> None:
    rollup = rolled(plain_calls([1.0, 2.0, 3.0]))
    assert cut_rollup(rollup, ()) is rollup


ordinary = {
    "lognormal": lambda rng, n: rng.lognormal(1.5, 0.8, n),
    "narrow": lambda rng, n: rng.normal(10.0, 0.3, n).clip(1.0),
    "one length": lambda rng, n: np.full(n, 10.0),
    "two lengths": lambda rng, n: np.where(rng.random(n) < 0.3, rng.normal(30.0, 0.9, n), rng.normal(5.0, 0.1, n)),
    "uniform": lambda rng, n: rng.uniform(1.0, 15.0, n),
    "whole seconds": lambda rng, n: rng.integers(1, 31, n).astype(float),
    "exponential": lambda rng, n: rng.exponential(8.0, n) + 1.0,
}


@settings(max_examples=80, deadline=None)
@example("whole seconds", 1487, 1275)
@given(st.sampled_from(sorted(ordinary)), st.integers(0, 2**32 - 1), st.integers(100, 5000))
def test_ordinary_durations_are_left_alone(kind: str, seed: int, n: int) -> None:
    assert find_piles(rolled(plain_calls(ordinary[kind](np.random.default_rng(seed), n)))) == ()


def test_an_owner_is_named_where_a_timer_fires_a_little_late_never_early() -> None:
    assert [owner.value_s for owner in owners(300.2)] == [300, 300]
    assert owners(298.0) == ()
    assert list(OWNERS) == sorted(OWNERS, key=lambda owner: owner.value_s)
    assert all(owner.source for owner in OWNERS)


def test_the_sentence_says_what_was_made_of_it() -> None:
    pile = Pile("client", "gateway>generator", "/v1/chat", 600.0, 599.0, 606.0, {"ok": 40, "error": 2})
    assert str(pile) == (
        "gateway>generator /v1/chat: 40 ok and 2 error of its calls ended at 600 s, the default of the OpenAI SDKs; "
        "they count as cut there"
    )


def test_recommend_takes_it_for_the_timer_in_use_and_explores_beyond_it() -> None:
    advice = from_calls(under_a_timer(60.0, "error")).recommend(["timeouts"], config=ONE_PERCENT)
    (total,) = [item for item in advice.items if item.setting == "total_timeout"]
    assert total.current is not None
    assert (total.current.value, total.status) == (60.0, "explore")
    assert "the default of Envoy AI Gateway, or of nginx" in total.current.source
    assert total.proposed is not None
    assert float(total.proposed.value) > 60.0


def test_doctor_warns_of_it() -> None:
    (finding,) = [each for each in from_calls(under_a_timer(15.0, "ok")).doctor().findings if each.code == "MS915"]
    assert finding.severity == "warning"
    assert "ended at 15 s, the default of an Envoy route" in finding.message


def test_every_estimate_counts_it_as_cut() -> None:
    """A stream's server logs 200 for what a listener truncated at 15 s."""
    calls = under_a_timer(15.0, "ok").with_columns(hop=pl.lit("ingress>gateway"), version=pl.lit("v1"))
    slower = under_a_timer(15.0, "ok", seed=2).with_columns(hop=pl.lit("ingress>gateway"), version=pl.lit("v2"))
    store = from_calls(pl.concat([calls, slower]))
    chain = store.chain(quantiles=[0.99])
    assert chain.ways[0].total[0].status == "at_least"
    assert "ended at 15 s" in chain.notes[0]
    compared = store.compare({"version": "v1"}, {"version": "v2"}, quantiles=[0.99])
    assert {each.a.value for each in compared.differences if each.q} == {None}
    assert "ended at 15 s" in compared.left_out[0]
    backtested = from_calls(calls).backtest(config=ONE_PERCENT)
    assert {row.status for row in backtested.rows} == {"not_identifiable"}
