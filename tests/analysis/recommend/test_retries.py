from typing import Any

import polars as pl
import pytest

from meshslo.analysis.config import Config, parse_config
from meshslo.analysis.policy.deployed import ClusterRule, Deployed, Placed, RouteRule
from meshslo.analysis.recommend import Recommendation, Recommendations, observe, recommend
from tests.support.calls import make_call, make_calls

SAFE = "connect-failure,refused-stream,reset-before-request"


def attempts(count: int, **columns: Any) -> list[dict[str, Any]]:
    """`count` first attempts as the caller's proxy saw them, spread evenly over ten minutes."""
    return [make_call(at_s=600 * n / count, **{"vantage": "proxy_out"} | columns) for n in range(count)]


def unreachable(count: int, **columns: Any) -> list[dict[str, Any]]:
    return attempts(count, **{"outcome": "rejected", "response_flags": "UF", "duration_s": 0.01} | columns)


def advise(rows: list[dict[str, Any]], config: Config | None = None, deployed: Deployed | None = None) -> Recommendations:
    return recommend(observe(make_calls(rows).lazy(), config, deployed), ["retries"])


def find(advice: Recommendations, setting: str, hop: str = "gateway>generator") -> Recommendation:
    found = [item for item in advice.items if (item.setting, item.target.hop) == (setting, hop)]
    assert len(found) == 1, [(item.setting, str(item.target)) for item in advice.items]
    return found[0]


def value(item: Recommendation) -> Any:
    assert item.proposed is not None, item
    return item.proposed.value


def test_what_was_never_executed_is_repeated_once() -> None:
    advice = advise(attempts(990) + unreachable(10))
    assert value(find(advice, "retry_attempts")) == 1
    assert value(find(advice, "retry_on")) == SAFE


def test_the_budget_covers_the_upper_bound_of_safe_failures() -> None:
    item = find(advise(attempts(990) + unreachable(10)), "retry_budget_ratio")
    # Clopper-Pearson, one-sided 95 %: 10 of 1,000 are at most 1.69 %.
    assert value(item) == 0.017
    assert item.evidence.estimate == pytest.approx(0.01)
    assert item.evidence.high == pytest.approx(0.01689, abs=1e-4)


def test_a_budget_says_what_it_means_where_calls_in_progress_are_counted() -> None:
    # 990 calls of 40 s in 600 s: 66 in progress; a share of them is four times that of the calls begun in 10 s.
    item = find(advise(attempts(990, duration_s=40.0) + unreachable(10)), "retry_budget_ratio")
    assert "calls in progress instead (66 on average), it admits 4 times as many as over 10 s" in item.reason


@pytest.mark.parametrize(
    "failure",
    [
        {"outcome": "error", "status_code": 503, "first_byte_s": 0.1},
        {"outcome": "error", "response_flags": "UC", "first_byte_s": None},
        {"outcome": "rejected", "response_flags": "UO"},
        {"outcome": "rejected", "status_code": 429},
        {"outcome": "timeout", "response_flags": "UT"},
    ],
    ids=["answered 503", "reset after the request", "breaker open", "rate limited", "timed out"],
)
def test_what_may_have_run_or_was_refused_on_purpose_does_not_count(failure: dict[str, Any]) -> None:
    item = find(advise(attempts(900) + attempts(100, **failure)), "retry_budget_ratio")
    assert item.evidence.estimate == 0.0


def test_a_reset_before_headers_counts_where_repeating_does_no_harm() -> None:
    rows = attempts(950) + attempts(50, outcome="error", response_flags="UC", first_byte_s=None)
    config = parse_config('[hops."gateway>generator"]\nidempotent = true\n[retries]\ncost_ratio = 0.1')
    advice = advise(rows, config)
    assert value(find(advice, "retry_on")) == f"{SAFE},reset"
    assert find(advice, "retry_budget_ratio").evidence.estimate == pytest.approx(0.05)


def test_what_begun_calls_may_cost_caps_the_budget() -> None:
    rows = attempts(950) + attempts(50, outcome="error", response_flags="UC", first_byte_s=None)
    item = find(
        advise(rows, parse_config('[hops."gateway>generator"]\nidempotent = true\n[retries]\ncost_ratio = 0.02')),
        "retry_budget_ratio",
    )
    assert value(item) == 0.02
    assert "repeated tokens may cost 2 % at most" in item.reason


def test_the_chains_amplification_caps_the_budget() -> None:
    item = find(advise(attempts(600) + unreachable(400), parse_config("[chain]\namplification = 1.1")), "retry_budget_ratio")
    assert value(item) == 0.1
    assert "the chain may make 1.1 calls of one at most" in item.reason
    assert item.effect["amplification"].after_high == 1.1


def test_headroom_at_peak_caps_the_budget() -> None:
    # 1,200 calls in ten minutes: 2 a second.
    config = parse_config('[hops."gateway>generator"]\ncapacity_per_s = 2.1')
    item = find(advise(attempts(600) + unreachable(600), config), "retry_budget_ratio")
    assert value(item) == 0.05
    assert "of a capacity of 2.1/s" in item.reason


def test_without_headroom_nothing_is_repeated() -> None:
    config = parse_config('[hops."gateway>generator"]\ncapacity_per_s = 1')
    advice = advise(attempts(600) + unreachable(600), config)
    assert [(item.setting, value(item)) for item in advice.items] == [("retry_attempts", 0)]


def test_an_outage_is_not_what_a_budget_is_for() -> None:
    storm = [make_call(vantage="proxy_out", at_s=600 + n / 2, outcome="rejected", response_flags="UF") for n in range(120)]
    item = find(advise(attempts(1200) + unreachable(6) + storm), "retry_budget_ratio")
    # 6 of 1,206, at most 0.979 %.
    assert value(item) == 0.0098
    assert "1 of 11 minutes left out: outages" in item.reason


CHAIN = (
    attempts(300, caller="ingress", callee="gateway")
    + attempts(300, caller="gateway", callee="retriever")
    + attempts(300, caller="retriever", callee="reranker")
    + attempts(300)
)


def repeating(advice: Recommendations) -> set[str]:
    return {item.target.hop for item in advice.items if item.setting == "retry_attempts" and value(item) > 0}


def test_only_the_lowest_hop_of_each_way_repeats() -> None:
    advice = advise(CHAIN)
    assert repeating(advice) == {"retriever>reranker", "gateway>generator"}
    top = find(advice, "retry_attempts", "ingress>gateway")
    assert "repeating here as well multiplies calls" in top.reason


def test_a_hop_that_fails_repeats_where_none_below_it_fails() -> None:
    advice = advise(CHAIN + unreachable(20, caller="gateway", callee="retriever"))
    assert repeating(advice) == {"gateway>retriever", "gateway>generator"}


def test_hops_without_repetition_get_no_conditions_and_no_budget() -> None:
    assert {i.setting for i in advise(CHAIN).items if i.target.hop == "ingress>gateway"} == {"retry_attempts"}


def test_what_repeating_gains_is_told_from_second_attempts() -> None:
    seconds = attempts(36, attempt=2) + unreachable(4, attempt=2)
    item = find(advise(attempts(960) + unreachable(40) + seconds), "retry_attempts")
    assert "90 % of second attempts succeed" in item.reason
    success = item.effect["success_rate"]
    assert success.before == pytest.approx(0.996)
    assert success.after == pytest.approx(0.96 + 0.04 * 0.9)
    assert item.effect["amplification"].before == pytest.approx(1.04)


def test_without_second_attempts_the_gain_is_not_made_up() -> None:
    item = find(advise(attempts(960) + unreachable(40)), "retry_attempts")
    assert "what a repetition gains is not known yet" in item.reason
    success = item.effect["success_rate"]
    assert success.after is None
    assert (success.after_low, success.after_high) == (pytest.approx(0.96), pytest.approx(1.0))


def test_blanket_retries_are_priced() -> None:
    failed = attempts(100, outcome="error", status_code=500, first_byte_s=0.2, output_tokens=70)
    reason = find(advise(attempts(900) + failed), "retry_attempts").reason
    assert "would repeat 100 calls (10 %) and generate 7,000 chunks or tokens again" in reason
    assert "in an outage make 3 calls of one, at two such layers 9" in reason


def deployed(**values: Any) -> Deployed:
    settings = {name: Placed(value, "1", "envoy.yaml:9") for name, value in values.items()}
    budget = {name: settings.pop(name) for name in list(settings) if name.startswith("retry_budget")}
    return Deployed((RouteRule("generator", frozenset(), settings=settings),), (ClusterRule("generator", budget),))


def test_retries_of_what_may_run_twice_are_replaced() -> None:
    advice = advise(attempts(990) + unreachable(10), deployed=deployed(retry_attempts=2, retry_on="5xx,reset"))
    item = find(advice, "retry_on")
    assert item.status == "change"
    assert item.current is not None
    assert (item.current.value, item.current.source) == ("5xx,reset", "envoy.yaml:9")


def test_a_policy_that_does_the_same_stays() -> None:
    now = deployed(
        retry_attempts=1,
        retry_on="reset-before-request, refused-stream, connect-failure",
        retry_budget_ratio=0.02,
        retry_budget_min_per_s=0.1,
    )
    statuses = {item.setting: item.status for item in advise(attempts(990) + unreachable(10), deployed=now).items}
    assert set(statuses.values()) == {"keep"}, statuses


def test_attempts_that_were_seen_say_what_is_set() -> None:
    item = find(advise(attempts(300) + attempts(5, attempt=3)), "retry_attempts")
    assert item.current is not None
    assert (item.current.value, item.current.source) == (2, "inferred: up to 3 attempts seen")


def test_too_few_calls_say_how_many_more_it_takes() -> None:
    item = find(advise(attempts(50)), "retry_attempts")
    assert item.status == "not_identifiable"
    assert "9 more are needed" in item.reason


def test_one_call_is_counted_from_one_vantage() -> None:
    both = make_calls(attempts(300) + attempts(300, vantage="client") + attempts(300, vantage="server"))
    assert isinstance(both, pl.DataFrame)
    item = find(recommend(observe(both.lazy()), ["retry"]), "retry_attempts")
    assert item.evidence.calls == 300


def test_halves_of_traces_that_never_met_are_no_target() -> None:
    lost = attempts(400, caller=None, hop="unknown>generator")
    assert advise(attempts(990) + unreachable(10) + lost) == advise(attempts(990) + unreachable(10))
    assert not advise(lost).items
