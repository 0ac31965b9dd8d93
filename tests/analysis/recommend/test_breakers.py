"""Circuit breakers from calls, and on a real Envoy."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from meshslo.analysis.config import Config, parse_config
from meshslo.analysis.emit import emit
from meshslo.analysis.policy.deployed import Deployed, read_deployed
from meshslo.analysis.recommend import Recommendation, observe, recommend
from meshslo.analysis.recommend.breakers import RECOMMENDER
from tests.support.calls import make_calls
from tests.support.envoy import Envoy, bootstrap, running
from tests.support.net import free_port
from tests.support.pods import Answer, Pod, ask_at, lateness_s, serving
from tests.support.queues import queued_calls, shared_calls
from tests.support.series import series_of


def answers(calls: pl.DataFrame, config: str = "", deployed: Deployed | None = None) -> dict[str, Recommendation]:
    settings = parse_config(config) if config else Config()
    return {item.setting: item for item in RECOMMENDER.recommend(observe(calls.lazy(), settings, deployed))}


def value(item: Recommendation) -> float:
    assert item.proposed is not None, item.reason
    return float(item.proposed.value)


def known(number: float | None) -> float:
    assert number is not None
    return number


def test_what_the_callee_bears_is_shared_by_the_client_proxies() -> None:
    found = answers(queued_calls(20, 0.9))
    assert value(found["max_concurrent_requests"]) == pytest.approx(10, abs=2)
    assert value(found["max_pending"]) == value(found["max_concurrent_requests"])
    assert value(found["max_connections"]) > value(found["max_concurrent_requests"])
    assert "each of 2 client proxies" in found["max_concurrent_requests"].reason
    alone = answers(queued_calls(20, 0.9), '[hops."gateway>generator"]\nclient_proxies = 1')
    assert value(alone["max_concurrent_requests"]) == pytest.approx(20, abs=3)


def test_it_says_what_it_would_have_refused_and_what_the_others_would_have_waited() -> None:
    effect = answers(queued_calls(20, 0.9))["max_concurrent_requests"].effect
    refused, wait = effect["refused_rate"], effect["wait_p95_s"]
    assert 0.01 < known(refused.after) < 0.5
    assert known(refused.after_low) < known(refused.after) < known(refused.after_high)
    assert known(wait.before) > 2 * known(wait.after_high)
    assert wait.after == pytest.approx(0.39, rel=0.25)


def test_the_two_ways_to_count_what_is_in_progress_agree() -> None:
    reason = answers(queued_calls(20, 0.9))["max_concurrent_requests"].reason
    found = re.search(r"([\d.]+) calls in progress on average by sweep, ([\d.]+) by Little's law", reason)
    assert found is not None
    assert float(found[1]) == pytest.approx(float(found[2]), rel=0.02)


def test_no_limit_is_made_up_where_load_never_got_to_a_knee() -> None:
    (item,) = answers(queued_calls(60, 0.3)).values()
    assert (item.status, item.proposed) == ("not_identifiable", None)
    assert "no knee up to" in item.reason


def test_where_answers_slow_with_every_call_the_limit_is_the_peak_of_throughput() -> None:
    """Of 0.02 and 0.003 the law has it at 18.1; waits have no level there that they could leave."""
    item = answers(shared_calls(0.02, 0.003, most=40))["max_concurrent_requests"]
    assert value(item) == pytest.approx(18, abs=2)
    assert "longer with every call; most is done at" in item.reason
    assert 0.95 * known(item.evidence.low) < 18.1 < 1.05 * known(item.evidence.high)


@pytest.fixture(scope="module")
def slow_swing() -> pl.DataFrame:
    """Ten slots, and a load that swings in half an hour: minutes differ."""
    return queued_calls(10, 0.5, count=9000, swing_s=1800.0)


def test_metrics_alone_say_nearly_the_same(slow_swing: pl.DataFrame) -> None:
    alone = observe(slow_swing.clear().lazy(), series=series_of(slow_swing).lazy())
    (limit, *_) = RECOMMENDER.recommend(alone)
    assert value(limit) == pytest.approx(10, abs=2)
    assert "from metrics alone" in limit.reason
    assert "hops.client_proxies" in limit.reason
    assert limit.effect == {}
    both = observe(slow_swing.lazy(), series=series_of(slow_swing).lazy())
    (beside, *_) = RECOMMENDER.recommend(both)
    assert f"metrics alone say {value(limit):.0f} in total" in beside.reason
    assert known(beside.evidence.estimate) == pytest.approx(10, abs=1)


def test_metrics_of_calm_times_show_no_knee_and_of_a_moment_nothing(slow_swing: pl.DataFrame) -> None:
    calm = queued_calls(30, 0.3, count=6000, swing_s=600.0)
    for calls, why in ((calm, "no knee up to"), (slow_swing.head(300), "are needed to see a knee")):
        (item,) = RECOMMENDER.recommend(observe(calls.clear().lazy(), series=series_of(calls).lazy()))
        assert (item.status, item.proposed) == ("not_identifiable", None)
        assert why in item.reason


def test_whole_calls_alone_are_said_to_be_ambiguous(slow_swing: pl.DataFrame) -> None:
    series = series_of(slow_swing).filter(phase="total")
    (item, *_) = RECOMMENDER.recommend(observe(slow_swing.clear().lazy(), series=series.lazy()))
    assert "busy times with longer answers would look the same" in item.reason


def test_refused_calls_are_no_load() -> None:
    calls = queued_calls(20, 0.9)
    refused = calls.with_columns(outcome=pl.lit("rejected"), duration_s=pl.lit(30.0), first_token_s=None)
    assert (
        answers(pl.concat([calls, refused]))["max_concurrent_requests"].evidence
        == answers(calls)["max_concurrent_requests"].evidence
    )


@pytest.mark.parametrize(("deployed", "status"), [(10, "keep"), (1024, "change"), (2, "change")])
def test_what_lies_within_the_interval_is_kept(deployed: int, status: str) -> None:
    text = yaml.safe_dump(
        {
            "static_resources": {
                "clusters": [{"name": "generator", "circuit_breakers": {"thresholds": [{"max_requests": deployed}]}}]
            }
        }
    )
    item = answers(queued_calls(20, 0.9), deployed=read_deployed({"envoy.yaml": text}))["max_concurrent_requests"]
    assert item.status == status
    assert item.current is not None
    assert item.current.source.startswith("envoy.yaml")


BUSY_S = 0.1
"""A machine that is later than this to send what it was told to is tried once more."""
SLOTS, WAIT_S, STREAM_S = 12, 0.4, 0.4
RAMP = np.cumsum(1.0 / np.concatenate([np.linspace(4, 30, 200), np.linspace(30, 4, 160)]))


@pytest.mark.system
@pytest.mark.alone
def test_on_a_real_envoy_calls_over_the_limit_are_refused_at_once_and_the_others_keep_their_wait(tmp_path: Path) -> None:
    """Learned from a run without a breaker; the same load then, under what was emitted for the same bootstrap."""
    before, _ = played(tmp_path, None)
    if lateness_s(before, RAMP.tolist()) > BUSY_S:
        before, _ = played(tmp_path, None)
    assert before.filter(outcome="rejected").height == 0
    limit = answers(before)["max_concurrent_requests"]
    assert SLOTS - 3 <= value(limit) <= SLOTS + 6
    after, overflows = played(tmp_path, before)
    if lateness_s(after, RAMP.tolist()) > BUSY_S:
        after, overflows = played(tmp_path, before)
    refused, answered = after.filter(outcome="rejected"), after.filter(outcome="ok")
    assert refused.height > 20
    assert overflows == refused.height
    assert refused["duration_s"].median() < WAIT_S  # type: ignore[operator]
    waits_s = [run["first_token_s"].quantile(0.95) for run in (before, answered)]
    assert waits_s[1] < 0.5 * waits_s[0]  # type: ignore[operator]
    assert waits_s[1] < 2 * WAIT_S + STREAM_S  # type: ignore[operator]
    assert refused.height <= 1.2 * known(limit.effect["refused_rate"].after_high) * after.height


def played(folder: Path, learned: pl.DataFrame | None) -> tuple[pl.DataFrame, int]:
    """The load's calls under a plain Envoy, or under what calls it is told to learn from justify; and its overflows."""
    pod = Pod("generator-0", lambda number: Answer(wait_s=WAIT_S, stream_s=STREAM_S), slots=SLOTS)
    envoy = Envoy(free_port(), free_port())
    with serving([pod]):
        text = yaml.safe_dump(bootstrap(envoy, [pod.port]))
        if learned is not None:
            (document,) = emit("envoy", recommend(observe(learned.lazy()), ["breakers"]), manifests={"e.yaml": text}).documents
            text = document.text
        with running(folder, envoy, text):
            calls = make_calls(ask_at(f"{envoy.url}/", RAMP.tolist()))
            overflows = envoy.stats(r"cluster\.generator\.upstream_rq_(pending|active)_overflow")
    return calls, sum(overflows.values())
