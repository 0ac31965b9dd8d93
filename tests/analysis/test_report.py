"""The report: the JSON people's scripts read, one vantage a hop, bounds where nothing more is known."""

import json
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshslo.analysis import CallStore, from_calls, open_store
from meshslo.analysis.config import Limits
from meshslo.telemetry.errors import BadInputError, StoreError
from meshslo.telemetry.schema import FRAME
from meshslo.telemetry.vocabulary import OTHER
from tests.support.calls import EPOCH, make_call, make_calls


def store(rows: list[dict[str, Any]], **options: Any) -> CallStore:
    return from_calls(make_calls(rows), **options)


def streams(calls: int, cap_s: float = 1e9, **columns: Any) -> list[dict[str, Any]]:
    """Calls with log-normal durations that a timer cuts at `cap_s`."""
    whole = np.random.default_rng(calls).lognormal(0, 0.5, calls)
    return [
        make_call(at_s=n, duration_s=float(min(s, cap_s)), outcome="ok" if s < cap_s else "timeout", **columns)
        for n, s in enumerate(whole)
    ]


def test_the_json_is_the_one_scripts_rely_on() -> None:
    rows = [*streams(400), make_call(outcome="error"), make_call(outcome="rejected")]
    document = json.loads(store(rows).report(by=["hop", "route", "model", "tenant"]).to_json())
    assert list(document) == ["schema", "window", "rows"]
    assert document["schema"] == "meshslo.report/1"
    assert document["window"] == {"start": "2026-11-02T09:00:00Z", "end": "2026-11-02T09:06:39Z"}
    (row,) = document["rows"]
    assert list(row) == ["vantage", "hop", "route", "model", "tenant", "phase", "calls", "outcomes", "quantiles"]
    assert row["outcomes"] == {"ok": 400, "error": 1, "timeout": 0, "cancelled": 0, "rejected": 1}
    assert row["calls"] == 402
    for quantile, q in zip(row["quantiles"], (0.95, 0.99), strict=True):
        names = ["q", "value_s", "low_s", "high_s", "status", "needs_calls", "completed_value_s", "design_effect"]
        assert list(quantile) == names
        assert (quantile["q"], quantile["status"], quantile["needs_calls"]) == (q, "ok", None)
        assert quantile["low_s"] <= quantile["value_s"] <= quantile["high_s"]


@pytest.mark.parametrize("by", [["hop"], ["tenant"], ["model", "zone"], ["version", "pod", "hop"]])
def test_only_the_keys_asked_for_are_there(by: list[str]) -> None:
    (row,) = store([make_call(zone="a", version="1", pod="p")]).report(by=by).rows()
    assert set(row) == {"vantage", "phase", "calls", "outcomes", "quantiles", *by}


def test_a_capped_stream_is_at_least_its_cap() -> None:
    (row,) = store(streams(1000, cap_s=2.0)).report(by=["hop"], quantiles=[0.5, 0.99]).rows()
    middle, tail = row["quantiles"]
    assert middle["status"] == "ok"
    assert (tail["status"], tail["high_s"], tail["needs_calls"]) == ("at_least", None, None)
    assert tail["value_s"] == pytest.approx(2.0, rel=0.0055)
    assert tail["completed_value_s"] < 2.0


def test_too_few_calls_say_how_many_more_it_takes() -> None:
    (row,) = store(streams(85)).report(by=["hop"]).rows()
    assert [quantile["status"] for quantile in row["quantiles"]] == ["ok", "not_identifiable"]
    assert row["quantiles"][1]["needs_calls"] == 214
    assert row["quantiles"][1]["value_s"] is None


def test_a_call_seen_from_four_vantages_counts_once() -> None:
    rows = [make_call(vantage=vantage, at_s=n) for n in range(100) for vantage in ("client", "proxy_out", "proxy_in", "server")]
    (row,) = store(rows).report(by=["hop"]).rows()
    assert (row["vantage"], row["calls"]) == ("client", 100)
    (row,) = store(rows).report(by=["hop"], vantage="proxy_in").rows()
    assert (row["vantage"], row["calls"]) == ("proxy_in", 100)


def test_a_vantage_is_picked_for_each_hop_before_hops_are_added() -> None:
    rows = [make_call(vantage=vantage, callee="generator") for vantage in ("client", "server")]
    rows += [make_call(vantage="server", callee="retriever") for _ in range(3)]
    answer = {row["vantage"]: row["calls"] for row in store(rows).report(by=["tenant"]).rows()}
    assert answer == {"client": 1, "server": 3}


def test_groups_without_a_word_have_null_there() -> None:
    (row,) = store([make_call(model=None, tenant=None)]).report().rows()
    assert (row["model"], row["tenant"]) == (None, None)


def test_only_failed_calls_still_tell_their_outcomes() -> None:
    (row,) = store([make_call(outcome="error")] * 3).report(by=["hop"]).rows()
    assert row["outcomes"]["error"] == 3
    assert {quantile["status"] for quantile in row["quantiles"]} == {"not_identifiable"}


def test_a_tail_of_routes_is_counted_together_and_told() -> None:
    rows = [make_call(route=f"/{n}") for n in range(10) for _ in range(20 - n)]
    answer = store(rows, limits=Limits(routes=3)).report(by=["route"])
    assert {row["route"]: row["calls"] for row in answer.rows()} == {"/0": 20, "/1": 19, "/2": 18, OTHER: 98}
    (fold,) = answer.folded
    assert (fold.key, fold.values, fold.calls) == ("route", 7, 98)


def test_a_window_is_half_open_and_said() -> None:
    rows = [make_call(at_s=60 * n) for n in range(10)]
    since, until = EPOCH + timedelta(minutes=2), EPOCH + timedelta(minutes=5)
    answer = store(rows).report(by=["hop"], since=since, until=until)
    assert answer.rows()[0]["calls"] == 3
    assert answer.to_dict()["window"] == {"start": "2026-11-02T09:02:00Z", "end": "2026-11-02T09:05:00Z"}


def test_an_empty_store_names_the_next_step() -> None:
    with pytest.raises(StoreError, match="meshslo import"):
        from_calls(pl.DataFrame(schema=FRAME)).report()


def test_an_empty_window_names_what_there_is() -> None:
    with pytest.raises(StoreError, match=r"no calls started in .* its calls started from 2026-11-02 09:00:00"):
        store([make_call()]).report(since=EPOCH + timedelta(days=1))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"by": ["colour"]}, "colour"),
        ({"by": []}, "at least one key"),
        ({"phase": "middle"}, "middle"),
        ({"quantiles": [1.5]}, "1.5"),
        ({"quantiles": []}, "none"),
        ({"vantage": "moon"}, "moon"),
        ({"vantage": "proxy_in"}, "proxy_in"),
    ],
)
def test_what_cannot_be_asked_is_named(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInputError, match=told):
        store([make_call()]).report(**asked)


def test_frames_for_notebooks_hold_the_same() -> None:
    answer = store(streams(400)).report(by=["hop"])
    table = answer.to_pandas()
    assert table["value_s"].tolist() == answer.frame["value_s"].to_list()
    assert "gateway" in answer._repr_html_()


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(40)))
def test_order_of_calls_changes_nothing(order: list[int]) -> None:
    rows = streams(40, cap_s=1.5)
    shuffled = store([rows[n] for n in order]).report(quantiles=[0.5])
    assert shuffled.to_json() == store(rows).report(quantiles=[0.5]).to_json()


def test_a_store_on_disk_answers_as_its_calls_in_memory(tmp_path: Any) -> None:
    from meshslo.telemetry.store import open_store as create

    frame = make_calls(streams(400, cap_s=2.0))
    create(tmp_path / "store", create=True).append(frame, source="test")
    assert open_store(tmp_path / "store").report().to_json() == from_calls(frame).report().to_json()
