"""Outlier detection from calls by pod."""

import numpy as np
import polars as pl
import pytest
import yaml

from meshslo.analysis.config import Config
from meshslo.analysis.emit import emit
from meshslo.analysis.policy.deployed import Deployed, read_deployed
from meshslo.analysis.recommend import Recommendation, Recommendations, observe
from meshslo.analysis.recommend.outliers import RECOMMENDER
from tests.support.fleets import fleet_calls


def answers(calls: pl.DataFrame, deployed: Deployed | None = None) -> dict[str, Recommendation]:
    return {item.setting: item for item in RECOMMENDER.recommend(observe(calls.lazy(), Config(), deployed))}


def value(item: Recommendation) -> float:
    assert item.proposed is not None, item.reason
    return float(item.proposed.value)


def test_no_healthy_pod_would_have_been_ejected_and_the_broken_one_soon() -> None:
    found = answers(fleet_calls(failed={2: 1.0}, failing_from_s=400.0, base=0.05))
    limit = found["consecutive_5xx"]
    assert 3 <= value(limit) <= 5
    assert "generator-2 failed" in limit.reason
    effect = limit.effect
    assert effect["false_ejections_per_day"].after == 0.0
    assert effect["false_ejections_per_day"].after_high > 0.0  # type: ignore[operator]
    assert effect["time_to_eject_s"].after == pytest.approx(value(limit) * 0.8, abs=4)
    failed = effect["failed_calls"]
    assert failed.after is not None
    assert failed.before is not None
    assert failed.after < 0.4 * failed.before


def test_the_limit_is_above_the_longest_run_of_healthy_pods() -> None:
    calls = fleet_calls(base=0.03).with_columns(first_byte_s=0.05)
    first = calls.filter(pod="generator-0").with_row_index()
    run = first["index"].is_between(100, 105)
    unlucky = first.with_columns(status_code=pl.when(run).then(500).otherwise("status_code").cast(pl.Int16)).drop("index")
    found = answers(pl.concat([unlucky, calls.filter(pl.col("pod") != "generator-0")]))
    assert value(found["consecutive_5xx"]) == 7
    assert "consecutive_gateway_failures" not in found


@pytest.mark.parametrize(("pods", "percent"), [(2, 50), (3, 34), (4, 50), (7, 43)])
def test_the_percentage_lets_one_pod_out_at_least_and_half_at_most(pods: int, percent: int) -> None:
    assert value(answers(fleet_calls(pods=pods))["max_ejection_percent"]) == percent


@pytest.mark.parametrize(
    ("calls", "why"),
    [
        (fleet_calls(pods=1), "has one pod"),
        (fleet_calls(200), "more calls of generator-"),
        (fleet_calls().with_columns(pod=pl.lit(None, dtype=pl.String)), "names its pod"),
        (fleet_calls(base=0.3), "no pod's fault"),
    ],
    ids=["one pod", "few calls", "no pods", "all alike"],
)
def test_it_refuses_where_nothing_can_be_told(calls: pl.DataFrame, why: str) -> None:
    (item,) = answers(calls).values()
    assert (item.status, item.proposed) == ("not_identifiable", None)
    assert why in item.reason


def test_streams_that_break_midway_are_said_to_be_invisible() -> None:
    calls = fleet_calls()
    breaks = calls.with_row_index()["index"] % 50 == 0
    broken = calls.with_columns(outcome=pl.when(breaks).then(pl.lit("error")).otherwise("outcome"))
    assert "streams broke midway" in answers(broken)["consecutive_5xx"].reason


def test_a_pod_that_fails_now_and_then_is_caught_by_its_share_where_that_spares_more() -> None:
    found = answers(fleet_calls(failed={2: 0.5}, base=0.02))
    percentage = found["failure_percentage_threshold"]
    assert 20 <= value(percentage) <= 40
    assert value(found["failure_percentage_request_volume"]) == 11
    assert value(found["failure_percentage_minimum_hosts"]) == 2
    assert value(found["enforcing_success_rate"]) == 0
    effect = found["consecutive_5xx"].effect
    assert effect["false_ejections_per_day"].after == 0.0
    assert effect["failed_calls"].after < 0.4 * effect["failed_calls"].before  # type: ignore[operator]
    assert "success_rate_stdev_factor" not in found
    assert "both catch Envoy counts as two" in percentage.reason


def faster(calls: pl.DataFrame) -> pl.DataFrame:
    """The same forty times as fast: 200 calls a second."""
    first = pl.col("start").min()
    return calls.with_columns(start=first + (pl.col("start") - first) / 40)


def test_success_rate_is_on_where_it_spares_more_and_off_where_it_takes_good_pods() -> None:
    """Pods that all fail often at times: a flat share cannot tell the broken one, being far below the others can."""
    calls = faster(fleet_calls(40_000, pods=20, failed={2: 0.4}, base=0.08))
    seconds = (calls["start"] - calls["start"].min()).dt.total_seconds()
    often = (seconds % 100 < 40) & pl.Series(np.random.default_rng(1).random(40_000) < 0.35)
    found = answers(calls.with_columns(status_code=pl.when(often).then(500).otherwise("status_code").cast(pl.Int16)))
    assert value(found["enforcing_success_rate"]) == 100
    assert 1900 <= value(found["success_rate_stdev_factor"]) < 4360
    assert "failure_percentage_threshold" not in found
    assert "both catch Envoy counts as two" in found["enforcing_success_rate"].reason
    found = answers(faster(fleet_calls(20_000, pods=5, base=0.0005)))
    assert value(found["enforcing_success_rate"]) == 0
    assert "healthy pods would have been ejected" in found["enforcing_success_rate"].reason


def test_it_warns_of_what_istio_switches_on() -> None:
    assert "locality failover" in answers(fleet_calls())["consecutive_5xx"].reason


def test_slow_pods_are_named_and_no_mesh_ejects_them() -> None:
    item = answers(fleet_calls(slower={1: 1.5}))["slow_pods"]
    assert (item.status, item.proposed and item.proposed.value) == ("not_expressible", "generator-1")
    assert "no mesh ejects by latency" in item.reason
    assert emit("envoy", Recommendations(items=(item,))).documents == ()


def test_what_it_emitted_it_keeps() -> None:
    calls = fleet_calls(failed={2: 1.0}, failing_from_s=400.0)
    emitted = emit("envoy", Recommendations(items=tuple(answers(calls).values()))).documents
    cluster = yaml.safe_load(emitted[0].text)["static_resources"]["clusters"][0]
    assert cluster["outlier_detection"]["enforcing_success_rate"] == 0
    again = answers(calls, read_deployed({document.path: document.text for document in emitted}))
    assert {item.status for item in again.values()} == {"keep"}


def test_gateway_failures_that_come_in_shorter_runs_have_a_limit_of_their_own() -> None:
    calls = fleet_calls(failed={2: 1.0}, failing_from_s=300.0, base=0.2).with_columns(first_byte_s=0.05)
    gone = (pl.col("pod") == "generator-2") & (pl.col("status_code") == 500) & (pl.col("start") > pl.col("start").quantile(0.9))
    found = answers(calls.with_columns(status_code=pl.when(gone).then(503).otherwise("status_code").cast(pl.Int16)))
    assert value(found["consecutive_gateway_failures"]) == 3
    assert value(found["consecutive_5xx"]) > 3
