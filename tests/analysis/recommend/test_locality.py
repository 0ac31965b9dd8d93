"""Locality from calls across zones."""

import re

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from meshslo.analysis.config import Config, Emit, parse_config
from meshslo.analysis.emit import emit
from meshslo.analysis.policy.deployed import Deployed, read_deployed
from meshslo.analysis.policy.zones import parse_weights
from meshslo.analysis.recommend import Recommendation, Recommendations, observe
from meshslo.analysis.recommend.locality import RECOMMENDER, _percents, _Run
from meshslo.analysis.recommend.recommendation import Proposed, Target
from meshslo.analysis.zones import MATRIX, zone_matrix, zone_pairs
from tests.support.calls import make_call, make_calls
from tests.support.crds import problems


def crossing(
    share_a: float = 0.5, *, pods: tuple[int, int] = (4, 4), slower: float = 1.0, rate_per_s: float = 4.0, count: int = 900
) -> pl.DataFrame:
    """Streams of gateway>generator, seen from both sides; a share of the callers in zone a, the pods of both zones in turn."""
    rng = np.random.default_rng(4)
    names = [f"a-{n}" for n in range(pods[0])] + [f"b-{n}" for n in range(pods[1])]
    rows, at_s = [], 0.0
    for number in range(count):
        at_s += rng.exponential(1.0 / rate_per_s)
        pod = names[number % len(names)]
        zone = "a" if rng.random() < share_a else "b"
        first_s = 0.3 * rng.lognormal(0, 0.2) * (slower if zone != pod[0] else 1.0)
        both = {
            "trace_id": number.to_bytes(16, "big"),
            "at_s": at_s,
            "duration_s": first_s + 1.5 * rng.lognormal(0, 0.3),
            "first_token_s": first_s,
            "chunks": 20,
        }
        rows.append(make_call(vantage="client", zone=zone, pod=f"gateway-{zone}", **both))
        rows.append(make_call(vantage="server", zone=pod[0], pod=pod, **both))
    return make_calls(rows)


def answer(calls: pl.DataFrame, deployed: Deployed | None = None, config: Config | None = None) -> Recommendation:
    item, *_ = RECOMMENDER.recommend(observe(calls.lazy(), config, deployed))
    return item


def test_a_zone_with_most_of_the_pods_can_be_left_as_a_whole() -> None:
    """Ejection alone lets half of the pods out."""
    items = {item.setting: item for item in RECOMMENDER.recommend(observe(crossing(0.63, pods=(5, 3)).lazy()))}
    assert items["locality_failover_priority"].status == "change"
    assert items["max_ejection_percent"].proposed == Proposed(63, "percent")
    assert len(RECOMMENDER.recommend(observe(crossing().lazy()))) == 1


def test_calls_stay_where_each_zone_bears_its_own() -> None:
    item = answer(crossing(slower=1.4))
    assert (item.setting, item.status) == ("locality_failover_priority", "change")
    assert re.search(r"crossing takes 1\.(3|4)\d times as long", item.reason)
    assert "recommend outliers" in item.reason
    crossed = item.effect["crossing_ratio"]
    assert (crossed.before, crossed.after) == (pytest.approx(0.5, abs=0.05), 0.0)


def test_what_a_zone_does_not_bear_goes_where_there_is_room() -> None:
    item = answer(crossing(0.9, pods=(1, 3)))
    assert (item.setting, item.status) == ("locality_distribute", "change")
    assert item.proposed is not None
    weights = parse_weights(str(item.proposed.value))
    assert 20 <= weights["a"]["a"] <= 50
    assert weights["a"]["b"] == 100 - weights["a"]["a"]
    assert weights["b"] == {"b": 100}


def test_where_all_zones_are_full_no_weights_help() -> None:
    calls = crossing()
    run = _Run(observe(calls.lazy()), Target("gateway>generator"), zone_pairs(calls.lazy()), {})
    item = run._placed({"a": 2.0, "b": 3.0})
    assert (item.status, item.proposed) == ("keep", None)
    assert re.search(r"asked for \d+ calls at a time and bear 5: no weights mend that; .*recommend breakers", item.reason)


PRICED = parse_config("[prices]\ncrossing_per_call = 0.5\n[prices.zones]\n'b>a' = 2.0")


@pytest.mark.parametrize("calls", [crossing(), crossing(0.9, pods=(1, 3))], ids=["stay", "weights"])
def test_what_crossing_costs_is_said_with_what_is_saved(calls: pl.DataFrame) -> None:
    matrix = {
        (from_zone, to_zone): number
        for from_zone, to_zone, number in zone_matrix(zone_pairs(calls.lazy()), PRICED.prices, 3600.0, 0.95)
        .select("from_zone", "to_zone", "calls")
        .iter_rows()
    }
    item = answer(calls, config=PRICED)
    days = item.evidence.window_s / 86400
    cost = item.effect["crossing_cost_per_day"]
    assert cost.before == pytest.approx((0.5 * matrix["a", "b"] + 2.0 * matrix["b", "a"]) / days)
    assert item.proposed is not None
    if item.setting == "locality_distribute":
        leaving = sum(matrix["a", to] for to in "ab") * parse_weights(str(item.proposed.value))["a"]["b"] / 100
        assert cost.after == pytest.approx(0.5 * leaving / days)
    else:
        assert cost.after == 0.0
    assert "crossing costs" in item.reason
    assert "crossing_cost_per_day" not in answer(calls).effect


def test_the_matrix_has_each_pair_with_its_waits_failures_and_money() -> None:
    rows = zone_matrix(zone_pairs(crossing(0.9, slower=1.5).lazy()), PRICED.prices, 86400.0, 0.95)
    assert rows.schema == MATRIX
    assert rows["calls"].sum() == 900
    own, away = rows.row(0, named=True), rows.row(1, named=True)
    assert (own["from_zone"], own["to_zone"], away["to_zone"]) == ("a", "a", "b")
    assert own["first_token_p95_high_s"] < away["first_token_p95_low_s"]
    assert (own["cost_per_day"], away["cost_per_day"]) == (0.0, pytest.approx(0.5 * away["calls"]))
    assert own["failed_ratio"] == 0.0 < own["failed_high"]
    unpriced = zone_matrix(zone_pairs(crossing().lazy()), Config().prices, 86400.0, 0.95)
    assert unpriced.filter(pl.col("from_zone") != pl.col("to_zone"))["cost_per_day"].null_count() == 2


def test_as_fast_across_zones_is_said() -> None:
    assert "no surely longer wait" in answer(crossing()).reason


def test_one_zone_leaves_nothing_to_choose() -> None:
    item = answer(crossing(pods=(3, 0)))
    assert (item.status, item.proposed) == ("keep", None)


def test_zones_that_nobody_names_are_asked_for() -> None:
    item = answer(crossing().with_columns(zone=pl.lit(None, dtype=pl.String)))
    assert (item.status, item.proposed) == ("not_identifiable", None)
    assert "more calls that name the zones" in item.reason
    one_sided = crossing().with_columns(zone=pl.when(pl.col("vantage") == "server").then("zone"))
    assert "more calls that name the zones" in answer(one_sided).reason


@given(st.floats(0, 1), st.dictionaries(st.sampled_from("abcd"), st.floats(0, 100), min_size=1), st.sampled_from("abcd"))
def test_weights_are_whole_and_add_up(kept: float, room: dict[str, float], zone: str) -> None:
    shares = _percents(zone, kept, room)
    assert sum(shares.values()) == 100
    assert all(part >= 1 for part in shares.values())


@pytest.mark.parametrize("calls", [crossing(), crossing(0.9, pods=(1, 3))], ids=["priority", "weights"])
def test_istio_holds_it_and_what_it_holds_is_kept(calls: pl.DataFrame) -> None:
    item = answer(calls)
    settings = parse_config('[emit]\nregion = "eu"').emit
    (document,) = emit("istio", Recommendations(items=(item,)), settings=settings).documents
    rule = yaml.safe_load(document.text)
    assert problems(rule, "istio", "1.30.3") == []
    setting = rule["spec"]["trafficPolicy"]["loadBalancer"]["localityLbSetting"]
    assert ("distribute" in setting) != ("failoverPriority" in setting)
    for each in setting.get("distribute", []):
        assert sum(each["to"].values()) == 100
        assert each["from"].startswith("eu/")
    assert answer(calls, read_deployed({document.path: document.text})).status == "keep"


def test_weights_without_a_region_are_not_expressible() -> None:
    emission = emit("istio", Recommendations(items=(answer(crossing(0.9, pods=(1, 3))),)), settings=Emit())
    assert "kind:" not in "".join(document.text for document in emission.documents)
    assert "region under [emit]" in emission.unexpressed[0].reason


@pytest.mark.parametrize("mesh", ["envoy", "linkerd", "gateway-api", "envoy-gateway"])
def test_other_meshes_say_the_closest(mesh: str) -> None:
    (item,) = emit(mesh, Recommendations(items=(answer(crossing()),))).unexpressed
    assert item.status == "not_expressible"
