"""Two views of a run: each counts by itself, and differences are named."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from meshslo.demo.load import Seen
from meshslo.demo.load_plan import Ask
from meshslo.demo.measure import Measured, Traffic, disagreements, seen_by_users, seen_in_store, stream_quantiles
from meshslo.demo.settings import HOPS
from tests.support.calls import make_call, make_calls

TRAFFIC = {hop: Traffic(asked=1000, made=1100) for hop in HOPS}
ASK = Ask(0, 0.0, "acme", "small", streaming=True, prompt_tokens=10, answer_tokens=40, leaves_s=None, poison=False)


def request(
    number: int, outcome: str, *, inner: str = "ok", tokens: int = 40, duration_s: float = 1.0, **entry: Any
) -> Iterator[dict[str, Any]]:
    """The rows of one streamed request: how the gateway's proxy saw it end, and how the generator did."""
    trace = number.to_bytes(16, "big")
    outer = {"caller": "ingress", "callee": "gateway", "trace_id": trace, "streaming": None, "duration_s": duration_s}
    yield make_call(**outer, vantage="proxy_in", outcome=outcome, **entry)
    yield make_call(**outer, vantage="proxy_out", outcome=outcome)
    yield make_call(trace_id=trace, vantage="proxy_out", outcome=inner)
    yield make_call(trace_id=trace, vantage="server", outcome=inner, output_tokens=tokens)


def rows(*requests: Iterator[dict[str, Any]]) -> pl.DataFrame:
    return make_calls([row for request in requests for row in request])


def test_whole_answers_count_as_success_and_waste_nothing() -> None:
    store = seen_in_store(rows(request(1, "ok"), request(2, "ok", tokens=10)))
    assert (store.requests, store.streams, store.succeeded, store.calls, store.tokens) == (2, 2, 2, 4, 50)
    assert (store.success_rate, store.cut_by_timer, store.tokens_in_vain) == (1.0, 0, 0)


def test_a_stream_that_the_entrys_timer_cut_is_cut_and_its_tokens_are_in_vain() -> None:
    store = seen_in_store(rows(request(1, "ok"), request(2, "timeout", inner="cancelled", tokens=30)))
    assert (store.cut_by_timer, store.cut_rate, store.tokens_in_vain) == (1, 0.5, 30)


def test_a_timer_at_an_inner_hop_shows_as_a_broken_answer_and_counts_as_cut() -> None:
    store = seen_in_store(rows(request(1, "error", inner="timeout", status_code=200, response_flags="UPE")))
    assert store.cut_by_timer == 1


def test_a_failure_that_no_timer_made_is_not_cut() -> None:
    store = seen_in_store(rows(request(1, "error", inner="error", status_code=502)))
    assert (store.cut_by_timer, store.succeeded) == (0, 0)


def test_a_user_who_leaves_is_neither_success_nor_failure() -> None:
    store = seen_in_store(rows(request(1, "ok"), request(2, "cancelled", inner="cancelled")))
    assert (store.left, store.success_rate) == (1, 1.0)


def test_tokens_of_a_repeated_generation_are_in_vain_but_for_one() -> None:
    twice = [
        *request(1, "ok", tokens=40),
        make_call(trace_id=(1).to_bytes(16, "big"), vantage="server", outcome="error", output_tokens=7),
    ]
    assert seen_in_store(make_calls(twice)).tokens_in_vain == 7


def test_cut_streams_make_the_quantile_a_bound() -> None:
    ended = [request(number, "ok", duration_s=1.0 + number / 100) for number in range(1, 80)]
    cut = [request(number, "timeout", inner="cancelled", duration_s=3.0) for number in range(80, 100)]
    quantile = stream_quantiles(rows(*ended, *cut))[0.95]
    assert quantile.status == "at_least"
    assert quantile.completed_value_s is not None
    assert quantile.completed_value_s < 2.0


def test_users_views_are_counted_by_their_endings() -> None:
    seen = [
        Seen(ASK, "ok", 1.0, 200, tokens=40),
        Seen(ASK, "cut", 3.0, 200),
        Seen(replace(ASK, streaming=False), "cut", 3.0, 504),
        Seen(ASK, "left", 0.5, 200),
        Seen(ASK, "failed", 0.1, 502),
    ]
    users = seen_by_users(seen, traffic={hop: Traffic(asked=10, made=12) for hop in HOPS}, tokens=100)
    assert (users.requests, users.streams, users.cut_by_timer, users.left, users.succeeded) == (5, 4, 1, 1, 1)
    assert (users.tokens_in_vain, users.success_rate) == (60, 1 / 4)
    assert users.amplification == pytest.approx(1.2**3)


def test_views_that_differ_beyond_chance_are_named() -> None:
    one = Measured(
        requests=1000, streams=700, cut_by_timer=90, left=10, succeeded=880, traffic=TRAFFIC, tokens=50_000, tokens_in_vain=9000
    )
    assert disagreements(one, replace(one, succeeded=882, tokens=50_100)) == []
    assert disagreements(one, replace(one, cut_by_timer=60)) == ["cut by timer: users' side 90, store 60"]
