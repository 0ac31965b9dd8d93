"""Loads, pods and zones of calls whose truth is known."""

import json

import polars as pl
import pytest

from meshslo.analysis import from_calls
from meshslo.analysis.config import Config
from meshslo.analysis.recommend import observe, recommend
from meshslo.analysis.resilience import Resilience, resilience
from meshslo.telemetry.errors import StoreError
from tests.support.fleets import fleet_calls
from tests.support.queues import queued_calls
from tests.support.series import series_of


@pytest.fixture(scope="module")
def fleet() -> pl.DataFrame:
    return fleet_calls(failed={2: 1.0}, failing_from_s=400.0, slower={1: 1.5})


@pytest.fixture(scope="module")
def found(fleet: pl.DataFrame) -> Resilience:
    return from_calls(fleet).resilience()


def test_pods_are_those_that_the_recommender_names_and_ejects(fleet: pl.DataFrame, found: Resilience) -> None:
    assert {pod.pod for pod in found.pods if pod.broken} == {"generator-2"} == {out.pod for out in found.ejections}
    (slow,) = [pod for pod in found.pods if pod.slow_ratio is not None]
    assert slow.slow_ratio == pytest.approx(1.5, rel=0.1)
    advice = {item.setting: item for item in recommend(observe(fleet.lazy(), Config()), ["outliers"]).items}
    assert advice["slow_pods"].proposed is not None
    assert advice["slow_pods"].proposed.value == slow.pod == "generator-1"
    assert sum(pod.answers for pod in found.pods) == fleet.height


def test_the_limit_is_that_of_the_recommender_for_single_calls_and_for_metrics() -> None:
    calls = queued_calls(10, 0.5, count=9000, swing_s=1800.0)
    for observed in (observe(calls.lazy()), observe(calls.clear().lazy(), series=series_of(calls).lazy())):
        (load,) = resilience(observed).loads
        (limit, *_) = recommend(observed, ["breakers"]).items
        assert limit.proposed is not None
        assert load.limits[0].limit == limit.proposed.value
        assert load.bears is not None
        assert (load.bears.low, load.bears.high) == (limit.evidence.low, limit.evidence.high)
        assert max(level.slowness for level in load.levels) > 1.25


def test_the_json_and_the_frame_hold_the_same(found: Resilience) -> None:
    told = json.loads(found.to_json())
    assert told["schema"] == "meshslo.resilience/1"
    assert len(told["pods"]) == found.frame["pods"].sum() == 4
    assert found.frame["ejections"].to_list() == [len(told["ejections"])]


def test_only_the_hops_that_are_asked_for_are_left(found: Resilience) -> None:
    assert found.of_hops(["gateway>generator"]) == found
    nothing = found.of_hops(["gateway>retriever"])
    assert (nothing.loads, nothing.pods, nothing.ejections) == ((), (), ())
    assert all("cloud.availability_zone" in note for note in nothing.notes)


def test_what_cannot_be_told_is_said(fleet: pl.DataFrame) -> None:
    unnamed = from_calls(fleet.head(40).with_columns(pod=pl.lit(None, dtype=pl.String))).resilience()
    assert any("more calls of generator are needed" in note for note in unnamed.notes)
    assert any("names its pod" in note for note in unnamed.notes)
    with pytest.raises(StoreError):
        from_calls(fleet.clear()).resilience()
