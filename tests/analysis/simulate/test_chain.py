"""Hops that depend on each other: what a policy at one does to the calls of another."""

from typing import Any

import pytest

from meshslo.analysis.api import from_calls
from meshslo.analysis.simulate import Mesh, Simulation
from tests.support.calls import make_call, make_calls
from tests.support.proposals import breaker, mesh_of, retries

MANY = breaker(max_retries=1000)
RESET = {"outcome": "error", "response_flags": "UC", "duration_s": 0.1}


def request(number: int, outer: dict[str, Any], *inner: dict[str, Any]) -> list[dict[str, Any]]:
    """A call of the gateway, and those that it made of the generator, each half a second in or after the one before."""
    trace = {"trace_id": (number + 1).to_bytes(16, "big"), "vantage": "proxy_out", "streaming": None}
    at_s = 10.0 * number
    rows = [make_call(caller="ingress", callee="gateway", at_s=at_s, parent_span_id=None, **trace | outer)]
    for each in inner:
        at_s += 0.5
        rows.append(make_call(at_s=at_s, parent_span_id=b"gw%06d" % number, **trace | each))
        at_s += each["duration_s"]
    return rows


def simulated(rows: list[dict[str, Any]], proposed: Mesh) -> Simulation:
    return from_calls(make_calls(rows)).simulate(proposed)


def after(found: Simulation, hop: str, name: str) -> float | None:
    return next(row.figures[name].after.value for row in found.rows if row.keys["hop"] == hop)


def test_a_timer_further_in_fails_the_call_around_it() -> None:
    calls = [row for n in range(40) for row in request(n, {"duration_s": 3.0}, {"duration_s": 2.4})]
    found = simulated(calls, mesh_of("gateway", "generator", timeout="2.5s"))
    # The gateway's own timer is the first: 2.5 s after it was asked, 2.0 s into the generator's call.
    assert after(found, "ingress>gateway", "cut_ratio") == 1.0
    assert after(found, "gateway>generator", "cut_ratio") == 0.0
    found = simulated(calls, mesh_of("generator", timeout="2s"))
    assert after(found, "gateway>generator", "cut_ratio") == 1.0
    assert after(found, "ingress>gateway", "success_ratio") == 0.0
    assert after(found, "ingress>gateway", "cut_ratio") == 0.0


def test_a_call_that_went_on_inside_carries_its_caller_on() -> None:
    whole = [row for n in range(60) for row in request(n, {"duration_s": 4.6}, {"duration_s": 4.0})]
    cut = request(
        60, {"duration_s": 3.0, "outcome": "timeout", "response_flags": "UT"}, {"duration_s": 2.5, "outcome": "cancelled"}
    )
    found = simulated([*whole, *cut], mesh_of("gateway", "generator", timeout="10s"))
    assert found.chain["success_ratio"].observed == pytest.approx(60 / 61)
    assert found.chain["success_ratio"].after.value == 1.0


def test_what_made_a_caller_fail_and_no_longer_does_lets_it_succeed() -> None:
    good = [row for n in range(60) for row in request(n, {"duration_s": 1.6}, {"duration_s": 1.0})]
    slow = [row for n in range(60, 80) for row in request(n, {"duration_s": 2.6}, {"duration_s": 2.0})]
    passed_on = {"outcome": "error", "status_code": 502, "first_byte_s": 0.6, "duration_s": 0.6}
    bad = [row for n in range(80, 90) for row in request(n, passed_on, RESET)]
    found = simulated([*good, *slow, *bad], mesh_of("generator", cluster=MANY, retry_policy=retries(1)))
    success = found.chain["success_ratio"]
    assert success.observed == pytest.approx(80 / 90)
    # No second attempt was seen: it may always fail again, or end as first ones do.
    assert success.after.low <= 80 / 90
    assert success.after.high >= 0.98


def test_two_layers_multiply() -> None:
    passed_on = {"outcome": "error", "status_code": 503, "first_byte_s": 0.6, "duration_s": 0.6}
    calls = [row for n in range(60) for row in request(n, passed_on, RESET)]
    found = simulated(calls, mesh_of("gateway", "generator", cluster=MANY, retry_policy=retries(2)))
    assert found.chain["amplification"].after.value == pytest.approx(9.0)
    assert found.chain["calls_per_request"].after.value == pytest.approx(3 + 9)


def test_tokens_of_a_cut_answer_are_in_vain_up_to_the_cut() -> None:
    stream = {"duration_s": 3.0, "first_token_s": 1.0, "first_byte_s": 1.0, "output_tokens": 200, "streaming": True}
    calls = [row for n in range(40) for row in request(n, {"duration_s": 3.5, "output_tokens": 200}, stream)]
    found = simulated(calls, mesh_of("generator", timeout="2s"))
    tokens = found.chain["tokens_in_vain"]
    assert tokens.observed == 0.0
    assert tokens.after.value == pytest.approx(40 * 100)
    assert found.chain["tokens_in_vain_ratio"].after.value == pytest.approx(1.0)


def test_users_who_leave_do_so_again_and_count_neither_way() -> None:
    calls = [row for n in range(50) for row in request(n, {"duration_s": 2.0}, {"duration_s": 1.0})]
    left = [
        row
        for n in range(50, 60)
        for row in request(n, {"duration_s": 0.9, "outcome": "cancelled"}, {"duration_s": 0.4, "outcome": "cancelled"})
    ]
    found = simulated([*calls, *left], mesh_of("gateway", "generator", timeout="30s"))
    assert found.chain["success_ratio"].after.value == 1.0
    assert found.rows[1].figures["cut_ratio"].after.value == 0.0


def test_a_caller_that_does_without_a_call_goes_on_doing_so() -> None:
    calls = [row for n in range(40) for row in request(n, {"duration_s": 2.0}, RESET)]
    calls += [row for n in range(40, 60) for row in request(n, {"duration_s": 3.0}, {"duration_s": 2.0})]
    found = simulated(calls, mesh_of("generator", timeout="1s"))
    assert after(found, "gateway>generator", "cut_ratio") == pytest.approx(20 / 60)
    assert found.chain["success_ratio"].after.value == 1.0


def test_the_most_calls_at_a_time_are_counted() -> None:
    calls = [make_call(vantage="client", at_s=0.1 * n, duration_s=2.0) for n in range(60)]
    found = simulated(calls, mesh_of(timeout="1.05s"))
    peak = found.rows[0].figures["peak_concurrency"]
    assert (peak.observed, peak.after.value) == (20.0, 11.0)


def test_what_was_not_called_since_another_call_failed_is_called_then() -> None:
    search, stream = {"caller": "gateway", "callee": "retriever", "duration_s": 0.5}, {"duration_s": 2.0}
    good = [row for n in range(60) for row in request(n, {"duration_s": 4.0}, search, stream)]
    cut = search | {"outcome": "timeout", "response_flags": "UT"}
    passed_on = {"outcome": "timeout", "status_code": 504, "first_byte_s": 1.0, "duration_s": 1.0}
    # Searches of others lasted longer than those that were cut: what became of these is known.
    slow = [row for n in range(60, 90) for row in request(n, {"duration_s": 4.4}, search | {"duration_s": 0.9}, stream)]
    bad = [row for n in range(90, 100) for row in request(n, passed_on, cut)]
    found = simulated([*good, *slow, *bad], mesh_of("gateway", "retriever", "generator", timeout="30s"))
    assert found.chain["calls_per_request"].observed == pytest.approx(2.9)
    assert found.chain["calls_per_request"].after.value == pytest.approx(3.0, abs=0.02)
    assert found.chain["success_ratio"].after.value == pytest.approx(1.0, abs=0.01)


def test_an_answer_that_broke_off_with_the_call_it_came_from_goes_on_with_it() -> None:
    stream = {"duration_s": 4.0, "first_byte_s": 0.5, "streaming": True}
    whole = [row for n in range(60) for row in request(n, {"duration_s": 4.6, "first_byte_s": 1.1}, stream)]
    broken = {"duration_s": 2.5, "first_byte_s": 1.1, "outcome": "error", "response_flags": "UPE", "status_code": 200}
    cut = stream | {"duration_s": 2.0, "outcome": "timeout", "response_flags": "UT", "status_code": 200}
    found = simulated([*whole, *request(60, broken, cut)], mesh_of("gateway", "generator", timeout="4.3s"))
    assert found.chain["streams_cut_ratio"].observed == pytest.approx(1 / 61)
    # 4 s of the generator, half a second before: the gateway's own timer is the first, for every request.
    assert after(found, "ingress>gateway", "cut_by_total_timeout") == 1.0
    assert simulated([*whole, *request(60, broken, cut)], mesh_of("gateway", "generator", timeout="9s")).chain[
        "success_ratio"
    ].after.value == pytest.approx(1.0)
