"""Connect timeouts, bounded by the headers that come after connects."""

import numpy as np
import pytest

from meshslo.analysis.policy.deployed import ClusterRule, Deployed, Placed
from meshslo.analysis.recommend import Recommendation, observe
from meshslo.analysis.recommend.connect import RECOMMENDER
from tests.support.calls import make_call, make_calls
from tests.support.scenes import CONFIG, plain_calls

QUICK_S = [0.2 + n / 10_000 for n in range(1000)]


def deployed(value_s: float) -> Deployed:
    return Deployed(clusters=(ClusterRule("generator", {"connect_timeout": Placed(value_s, "s", "dr.yaml:9")}),))


def answer(durations_s: list[float], now_s: float | None = None, **columns: object) -> Recommendation:
    calls = plain_calls(durations_s, **columns)
    (item,) = RECOMMENDER.recommend(observe(calls.lazy(), CONFIG, None if now_s is None else deployed(now_s)))
    return item


def test_quick_headers_bound_connects() -> None:
    item = answer(QUICK_S, 10.0)
    assert (item.status, item.proposed.value if item.proposed else None) == ("change", 1.5)
    assert "99 % of connects end within" in item.reason
    assert "noticed after 1.5 s instead of 10 s" in item.reason


def test_the_bound_holds_whatever_the_connects_were() -> None:
    """Connects take a random part of the time to headers: at most the budget's share is longer than what is proposed."""
    rng = np.random.default_rng(7)
    headers_s = rng.lognormal(0.5, 0.5, 4000)
    connects_s = headers_s * rng.uniform(0, 1, 4000)
    item = answer(headers_s.tolist(), 60.0)
    assert item.proposed is not None
    assert item.evidence.high is not None
    assert (connects_s > float(item.proposed.value)).mean() <= 0.01
    assert item.effect["false_timeout_rate"].after is None


@pytest.mark.parametrize("now_s", [0.25, 1.5, 3.0])
def test_what_is_near_the_bound_or_below_is_kept(now_s: float) -> None:
    item = answer(QUICK_S, now_s)
    assert (item.status, item.proposed) == ("keep", None)


def test_slow_headers_say_nothing_about_connects() -> None:
    item = answer([8.0 + n / 100 for n in range(1000)])
    assert item.status == "not_identifiable"
    assert "every mesh's own is shorter" in item.reason


def test_headers_seen_by_the_callee_say_nothing() -> None:
    item = answer(QUICK_S, 10.0, vantage="server")
    assert item.status == "not_identifiable"
    assert "only server saw headers" in item.reason


def test_calls_that_reached_no_pod_are_counted() -> None:
    lost = [make_call(vantage="client", at_s=n, outcome="rejected", response_flags="UF", duration_s=10.0) for n in range(12)]
    whole = plain_calls(QUICK_S)
    calls = whole.vstack(make_calls(lost).select(whole.columns))
    (item,) = RECOMMENDER.recommend(observe(calls.lazy(), CONFIG, deployed(10.0)))
    assert "12 calls reached no pod" in item.reason
