"""One proxy's rules, worked by hand: what the first of all timers, ends and repetitions is."""

from typing import Any

import numpy as np
import pytest

from meshslo.analysis.recommend.recommendation import Target
from meshslo.analysis.simulate.engine import Proxy, Rules
from meshslo.analysis.simulate.fates import Again, Fates
from meshslo.analysis.simulate.inferred import targets
from meshslo.analysis.simulate.kinds import Kind, Timer
from meshslo.analysis.simulate.policy import Mesh, policies
from meshslo.analysis.simulate.reading import read
from meshslo.analysis.simulate.room import admit
from tests.support.calls import make_call, make_calls
from tests.support.proposals import breaker, mesh_of, retries

OK = {"outcome": "ok", "status_code": 200}
RESET = {"outcome": "error", "response_flags": "UC", "status_code": None, "duration_s": 0.1}
BROKEN = {"outcome": "error", "response_flags": "UPE", "status_code": 200, "first_byte_s": 0.05, "duration_s": 0.1}
TRACE = (7).to_bytes(16, "big")


def rows(*attempts: dict[str, Any], at_s: float = 0.0, trace: bytes = TRACE) -> list[dict[str, Any]]:
    """Attempts of one request as its proxy saw them, each a second after the other."""
    return [
        make_call(vantage="proxy_out", trace_id=trace, parent_span_id=b"proxyspn", attempt=n, at_s=at_s + n - 1, **OK | attempt)
        for n, attempt in enumerate(attempts, 1)
    ]


def tried(calls: list[dict[str, Any]], mesh: Mesh) -> list[tuple[str, str, float]]:
    """Kind, timer and end (to the millisecond) of each attempt that is made."""
    replay = read(make_calls(calls).lazy())
    found, rng = policies(targets(replay), mesh, {}), np.random.default_rng(1)
    proxy = Proxy(replay, Rules(found), Again(replay, hopeful=True))
    plan = proxy.plan(Fates(replay).draw(rng, soonest=True), np.arange(len(replay.requests)), rng)
    plan = admit(plan, replay, [policy.limit for policy in found])
    ends = zip(plan.kind.tolist(), plan.timer.tolist(), plan.end_s.tolist(), strict=True)
    return [(Kind(kind).name, Timer(timer).name, round(end_s, 3)) for kind, timer, end_s in ends]


def test_without_timers_a_call_ends_as_it_did() -> None:
    assert tried(rows({"duration_s": 2.0}), mesh_of()) == [("OK", "NONE", 2.0)]


@pytest.mark.parametrize(
    ("action", "call", "end"),
    [
        # The whole call, its body included.
        ({"timeout": "1.5s"}, {"duration_s": 2.0, "first_byte_s": 0.1}, ("CUT", "TOTAL", 1.5)),
        ({"timeout": "2.5s"}, {"duration_s": 2.0, "first_byte_s": 0.1}, ("OK", "NONE", 2.0)),
        (
            {"max_stream_duration": {"max_stream_duration": "1s"}},
            {"duration_s": 2.0, "first_byte_s": 0.1},
            ("CUT", "STREAM", 1.0),
        ),
        # Headers are what the timer of a try waits for; it never cuts a body.
        ({"retry_policy": retries(0, per_try_timeout="0.5s")}, {"duration_s": 2.0, "first_byte_s": 0.4}, ("OK", "NONE", 2.0)),
        (
            {"retry_policy": retries(0, per_try_timeout="0.5s")},
            {"duration_s": 2.0, "first_byte_s": 0.6},
            ("CUT", "PER_TRY", 0.5),
        ),
        # The idle timer runs until headers, from them to the first token, and between chunks.
        ({"idle_timeout": "0.5s"}, {"duration_s": 2.0, "first_byte_s": 0.6}, ("CUT", "IDLE", 0.5)),
        ({"idle_timeout": "0.5s"}, {"duration_s": 2.0, "first_byte_s": 0.1, "first_token_s": 0.7}, ("CUT", "IDLE", 0.6)),
        (
            {"idle_timeout": "0.5s"},
            {"duration_s": 2.0, "first_byte_s": 0.1, "first_token_s": 0.4, "max_gap_s": 0.3},
            ("OK", "NONE", 2.0),
        ),
        # Where in the body the silence lay is not kept: in the middle, (0.1 + (2.0 - 0.8)) / 2, and the timer from there.
        (
            {"idle_timeout": "0.5s"},
            {"duration_s": 2.0, "first_byte_s": 0.1, "first_token_s": 0.2, "max_gap_s": 0.8},
            ("CUT", "IDLE", 1.15),
        ),
    ],
)
def test_the_first_timer_ends_it(action: dict[str, Any], call: dict[str, Any], end: tuple[str, str, float]) -> None:
    assert tried(rows(call), mesh_of(**action)) == [end]


def test_a_reset_is_repeated_and_ends_as_the_second_attempt_did() -> None:
    (first, second) = tried(rows(RESET, {"duration_s": 1.0}), mesh_of(retry_policy=retries(2)))
    assert first == ("RESET", "NONE", 0.1)
    assert second[:2] == ("OK", "NONE")
    assert 1.1 <= second[2] <= 1.125  # the first back-off is below 25 ms


def test_repetitions_stop_at_their_number() -> None:
    assert len(tried(rows(RESET, RESET, RESET, RESET), mesh_of(retry_policy=retries(2)))) == 3


def test_after_headers_nothing_is_repeated() -> None:
    assert tried(rows(BROKEN, {"duration_s": 1.0}), mesh_of(retry_policy=retries(2))) == [("BROKEN", "NONE", 0.1)]


def test_what_is_not_asked_for_is_not_repeated() -> None:
    assert len(tried(rows(RESET, {"duration_s": 1.0}), mesh_of(retry_policy=retries(2, "connect-failure")))) == 1


def test_a_try_that_ran_out_of_time_is_repeated_as_a_reset_is() -> None:
    calls = rows({"duration_s": 5.0, "first_byte_s": 4.0}, {"duration_s": 1.0, "first_byte_s": 0.1})
    found = tried(calls, mesh_of(retry_policy=retries(1, "reset", per_try_timeout="0.5s")))
    assert [end[:2] for end in found] == [("CUT", "PER_TRY"), ("OK", "NONE")]


def test_the_total_timeout_covers_all_attempts_and_back_offs() -> None:
    calls = rows(RESET, {"duration_s": 1.0})
    assert tried(calls, mesh_of(timeout="0.7s", retry_policy=retries(2)))[-1] == ("CUT", "TOTAL", 0.7)
    waits = retries(2, retry_back_off={"base_interval": "100s", "max_interval": "1000s"})
    assert tried(calls, mesh_of(timeout="0.7s", retry_policy=waits)) == [("CUT", "TOTAL", 0.7)]


def test_back_off_grows_to_its_longest() -> None:
    rules = Rules(policies([Target("gateway>generator")], mesh_of(retry_policy=retries(9)), {}))
    waits = [rules.back_off_s(np.zeros(2000, np.int64), number, np.random.default_rng(0)).max() for number in (1, 2, 3, 9)]
    assert waits == pytest.approx([0.025, 0.075, 0.175, 0.25], rel=0.02)


def storm(number: int, together: bool = True) -> list[dict[str, Any]]:
    """Requests whose first attempt is reset and whose second takes a second; all at once, or far apart."""
    return [
        row
        for n in range(number)
        for row in rows(
            RESET, {"duration_s": 1.0, "first_byte_s": 1.0}, at_s=0.0 if together else 10.0 * n, trace=n.to_bytes(16, "big")
        )
    ]


def repeated(calls: list[dict[str, Any]], **threshold: Any) -> int:
    cluster = breaker(**threshold) if threshold else None
    return sum(end[0] == "OK" for end in tried(calls, mesh_of(cluster=cluster, retry_policy=retries(1))))


def test_envoys_breaker_lets_three_retries_be_under_way_unless_it_is_told() -> None:
    assert repeated(storm(20)) == 3
    assert repeated(storm(20), max_retries=7) == 7
    assert repeated(storm(20), max_retries=4294967295) == 20
    assert repeated(storm(20, together=False)) == 20


def test_a_budget_is_a_share_of_active_requests_and_at_least_its_floor() -> None:
    busy = [row for n in range(100, 140) for row in rows({"duration_s": 30.0}, trace=n.to_bytes(16, "big"))]
    budget = {"budget_percent": {"value": 25.0}, "min_retry_concurrency": 2}
    # 40 others are active, and each retry admitted: the 13th finds room (12 < 25 % of 52), the 14th does not (13 of 53).
    assert repeated([*busy, *storm(20)], retry_budget=budget) - 40 == 13
    assert repeated(storm(20), retry_budget={"budget_percent": {"value": 1.0}, "min_retry_concurrency": 2}) == 2


def test_with_an_interval_a_budget_counts_what_was_started_in_it() -> None:
    early = [row for n in range(100, 140) for row in rows({"duration_s": 0.1}, trace=n.to_bytes(16, "big"))]
    late = [row | {"start": row["start"].replace(second=5)} for row in storm(20)]
    budget = {"budget_percent": {"value": 25.0}, "min_retry_concurrency": 1}
    assert repeated([*early, *late], retry_budget=budget | {"budget_interval": "10s"}) > repeated(
        [*early, *late], retry_budget=budget
    )
