"""Whole traces: which vantage, which parent, what users waited for; and real traces of a shop."""

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from meshslo.analysis.api import from_calls
from meshslo.analysis.paths.chain import BETWEEN, time_traces
from meshslo.analysis.paths.result import Chain, HopTime
from meshslo.telemetry.errors import BadInputError, StoreError
from tests.support.calls import EPOCH, make_call, make_calls
from tests.support.nezha import shop_calls
from tests.support.traces import call, request, trace


def asked(rows: list[dict[str, Any]], **asked: Any) -> Chain:
    return from_calls(make_calls(rows)).chain(**asked)


def hop_of(found: Chain, name: str) -> HopTime:
    return {hop.hop: hop for hop in found.ways[0].hops}[name]


def spent(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Own seconds of each hop of a single trace."""
    return dict(time_traces(make_calls(rows).lazy()).hops.select("hop", "own_s").iter_rows())


def test_time_goes_to_hops_by_trace_before_quantiles_are_taken() -> None:
    """Slow searches meet fast answers: a difference of quantiles would be far off."""
    rows = [row for n in range(400) for row in request(n, 0.1 + n * 0.01, 4.1 - n * 0.01)]
    found = asked(rows, quantiles=[0.5, 0.95])
    (way,) = found.ways
    assert (way.entry, way.keys, way.traces, way.failed) == ("ingress>gateway", {"route": "/ask"}, 400, 0)
    assert [hop.hop for hop in way.hops] == ["ingress>gateway", "gateway>generator", "gateway>retriever"]
    entry = hop_of(found, "ingress>gateway")
    assert [own.value_s for own in entry.own] == pytest.approx([0.2, 0.2], rel=0.01)
    assert [total.value_s for total in way.total] == pytest.approx([4.4, 4.4], rel=0.01)
    search = hop_of(found, "gateway>retriever")
    assert [own.value_s for own in search.own] == pytest.approx([0.1 + 199 * 0.01, 0.1 + 379 * 0.01], rel=0.02)


def test_shares_of_slow_traces_add_up_and_name_the_slow_hop() -> None:
    rng = np.random.default_rng(1)
    rows = [row for n in range(1000) for row in request(n, 0.5, 1.0 + (9.0 if rng.random() < 0.06 else rng.uniform(0, 0.2)))]
    found = asked(rows, quantiles=[0.95])
    shares = {hop.hop: hop.shares[0] for hop in found.ways[0].hops}
    assert sum(share.estimate for share in shares.values()) == pytest.approx(1.0)
    share = shares["gateway>generator"]
    assert share.estimate == pytest.approx(10 / 10.7, rel=0.02)
    assert share.low <= share.estimate <= share.high
    assert found.ways[0].slow[0].traces == 50


def test_few_slow_traces_have_no_shares() -> None:
    found = asked([row for n in range(100) for row in request(n, 0.5, 1.0)], quantiles=[0.95])
    (slow,) = found.ways[0].slow
    assert (slow.traces, slow.needs_traces) == (5, 100)
    assert hop_of(found, "gateway>generator").shares == (None,)


def test_a_call_is_one_whoever_saw_it() -> None:
    rows = trace(
        1,
        call(span=1, caller="ingress", callee="gateway", vantage="server", duration_s=2.0),
        call(span=2, parent=1, callee="retriever", duration_s=1.0, at_s=0.5),
        call(span=3, parent=2, callee="retriever", duration_s=0.9, at_s=0.55, vantage="server"),
        call(span=4, parent=3, caller="retriever", callee="index", duration_s=0.5, at_s=0.7, vantage="server"),
    )  # fmt: skip
    assert spent(rows) == pytest.approx({"ingress>gateway": 1.0, "gateway>retriever": 0.5, "retriever>index": 0.5})


def test_repetitions_are_siblings_one_after_the_other() -> None:
    rows = trace(
        1,
        call(span=1, caller="ingress", callee="gateway", vantage="server", duration_s=4.0),
        call(span=2, parent=1, duration_s=1.0, at_s=0.5, outcome="error", attempt=1),
        call(span=3, parent=1, duration_s=2.0, at_s=1.75, attempt=2),
    )  # fmt: skip
    hop = hop_of(asked(rows), "gateway>generator")
    assert (hop.calls, hop.repeated, hop.parallel) == (2, 1, 1)
    assert spent(rows) == pytest.approx({"ingress>gateway": 1.0, "gateway>generator": 3.0})


def test_a_fan_out_takes_as_long_as_its_longest_part() -> None:
    parts = [call(span=2 + n, parent=1, callee="shard", duration_s=1.0 + n / 10, at_s=0.1) for n in range(8)]
    rows = trace(1, call(span=1, caller="ingress", callee="gateway", vantage="server", duration_s=2.0), *parts)
    hop = hop_of(asked(rows), "gateway>shard")
    assert (hop.calls, hop.parallel) == (8, 8)
    assert spent(rows)["gateway>shard"] == pytest.approx(1.7)


def test_a_user_who_repeats_waits_for_all_attempts_and_between() -> None:
    rows = trace(
        1,
        call(caller="ingress", callee="gateway", duration_s=1.0, outcome="error", attempt=1),
        call(caller="ingress", callee="gateway", duration_s=2.0, at_s=1.5, attempt=2),
    )  # fmt: skip
    assert spent(rows) == pytest.approx({"ingress>gateway": 3.0})
    found = asked(rows)
    assert {hop.hop for hop in found.ways[0].hops} == {BETWEEN, "ingress>gateway"}
    assert time_traces(make_calls(rows).lazy()).entries["total_s"].to_list() == pytest.approx([3.5])


def test_a_cut_answer_is_a_lower_bound_of_its_hop_and_of_none_that_ended() -> None:
    rows = [row for n in range(300) for row in request(n, 0.5, 1.0)]
    rows += [
        row | {"outcome": "timeout" if row["callee"] == "gateway" else "cancelled" if row["callee"] == "generator" else "ok"}
        for n in range(300, 400)
        for row in request(n, 0.5, 3.0)
    ]
    found = asked(rows, quantiles=[0.95])
    assert found.ways[0].total[0].status == "at_least"
    assert hop_of(found, "gateway>generator").own[0].status == "at_least"
    assert hop_of(found, "gateway>retriever").own[0].status == "ok"


def test_failed_traces_are_no_latency_of_success() -> None:
    rows = [row for n in range(100) for row in request(n, 0.5, 1.0)] + request(100, 0.5, 60.0, outcome="error")
    (way,) = asked(rows).ways
    assert (way.traces, way.failed) == (100, 1)


def test_a_way_in_on_which_all_traces_failed_has_no_latency() -> None:
    (way,) = asked(request(1, 0.5, 1.0, outcome="error")).ways
    assert (way.traces, way.failed, way.hops) == (0, 1, ())
    assert way.total[0].status == "not_identifiable"


def test_a_call_whose_parent_is_lost_goes_under_its_caller() -> None:
    rows = trace(
        1,
        call(span=1, caller="ingress", callee="gateway", vantage="server", duration_s=2.0),
        call(span=2, parent=9, callee="generator", duration_s=1.0, at_s=0.5),
        call(span=3, parent=8, caller="worker", callee="queue", duration_s=1.0, at_s=0.5),
    )  # fmt: skip
    found = asked(rows)
    assert found.left_out == {"in pieces of torn traces": 1}
    assert spent(rows) == pytest.approx({"ingress>gateway": 1.0, "gateway>generator": 1.0})


def test_calls_files_without_spans_are_nested_by_names_and_times() -> None:
    rows = [row | {"span_id": None, "parent_span_id": None} for row in request(1, 0.5, 1.0)]
    assert spent(rows) == pytest.approx({"ingress>gateway": 0.2, "gateway>retriever": 0.5, "gateway>generator": 1.0})


def test_skewed_clocks_are_counted() -> None:
    rows = request(1, 0.5, 1.0)
    rows[1]["start"] = rows[2]["start"] = EPOCH
    found = asked(rows)
    assert (found.calls, found.outside, found.repaired, found.unawaited) == (3, 2, 2, 0)


def test_the_order_of_rows_changes_nothing() -> None:
    rows = [row for n in range(50) for row in request(n, 0.5 + n / 100, 1.0)]
    shuffled = [rows[n] for n in np.random.default_rng(3).permutation(len(rows))]
    assert asked(rows).to_json() == asked(shuffled).to_json()


def test_json_and_frame_say_the_same() -> None:
    found = asked([row for n in range(400) for row in request(n, 0.5, 1.0)])
    read = json.loads(found.to_json())
    assert read["schema"] == "meshslo.chain/1"
    (way,) = read["ways"]
    assert [hop["hop"] for hop in way["hops"]] == found.frame["hop"].unique(maintain_order=True).to_list()
    assert found.frame.height == 3 * len(way["hops"])
    assert found.to_pandas()["on_path_value_s"].iloc[0] == way["hops"][0]["on_path"][0]["value_s"]


def test_calls_without_traces_make_no_chain() -> None:
    with pytest.raises(StoreError, match="no call there has a trace_id"):
        asked([make_call(trace_id=None)])
    with pytest.raises(BadInputError, match="not by pod"):
        asked(request(1, 0.5, 1.0), by=["pod"])


# Real traces: 184,908 spans of a shop of ten services (IntelligentDDS/Nezha, 22 August 2022)


def test_real_traces_add_up_whatever_their_clocks_say() -> None:
    calls = shop_calls()
    timed = time_traces(calls.lazy())
    roots = calls.filter(pl.col("parent_span_id").is_null())
    assert len(timed.traces) == roots.height == 4073
    assert timed.entries["total_s"].quantile(0.95, "nearest") == pytest.approx(1.874, rel=0.01)
    parts = timed.hops.group_by("trace").agg(pl.col("own_s").sum()).sort("trace")["own_s"] + timed.entries["between_s"]
    np.testing.assert_allclose(parts.to_numpy(), timed.entries["total_s"].to_numpy(), atol=1e-6)
    fixed = timed.repair
    # 14,269 spans end after their parent, most by half a millisecond (its end is noted first); 335 begin before it.
    assert fixed.outside.sum() == pytest.approx(14_269 + 335, rel=0.02)
    assert 2000 < fixed.repaired.sum() < fixed.outside.sum()
    assert 0 < fixed.unawaited.sum() < 100
