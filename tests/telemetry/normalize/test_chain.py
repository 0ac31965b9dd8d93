"""Whole recorded traces of a chain behind real Envoys: every hop from every vantage, and nothing that was cut counts as ok."""

from functools import cache
from pathlib import Path

import polars as pl
import pytest

from meshslo.telemetry.normalize import decode_traces_json, to_calls

CHAIN = Path(__file__).parents[1] / "fixtures" / "chain"
ENTRY, GENERATION = "ingress>gateway", "gateway>generator"
VANTAGES = {
    "ingress>gateway": {"proxy_in", "proxy_out", "server"},
    "gateway>retriever": {"client", "proxy_in", "proxy_out", "server"},
    "retriever>reranker": {"client", "proxy_in", "proxy_out", "server"},
    "gateway>generator": {"client", "proxy_in", "proxy_out", "server"},
}
NAMES = sorted(path.stem for path in CHAIN.glob("*.jsonl"))


@cache
def calls_of(name: str) -> pl.DataFrame:
    lines = (CHAIN / f"{name}.jsonl").read_text().splitlines()
    return to_calls(pl.concat([decode_traces_json(line).spans for line in lines]))


def outcomes(calls: pl.DataFrame, hop: str) -> dict[str, str]:
    """Outcome by vantage of a hop that was called once."""
    return dict(calls.filter(hop=hop).select("vantage", "outcome").iter_rows())


@pytest.mark.parametrize("name", NAMES)
def test_every_hop_is_seen_from_every_vantage_and_labelled(name: str) -> None:
    calls = calls_of(name)
    seen = {hop: set(rows["vantage"]) for (hop,), rows in calls.group_by("hop")}
    assert seen == VANTAGES
    assert set(calls["tenant"]) == {"acme"}
    assert calls["model"].n_unique() == 1
    assert calls["route"].null_count() == 0
    assert calls["trace_id"].n_unique() == 1


@pytest.mark.parametrize("name", ["stream_ok", "plain_ok"])
def test_a_whole_answer_is_ok_everywhere(name: str) -> None:
    calls = calls_of(name)
    assert set(outcomes(calls, ENTRY).values()) == {"ok"}
    assert set(outcomes(calls, GENERATION).values()) == {"ok"}
    assert calls.filter(hop=GENERATION, vantage="server")["output_tokens"].to_list() == [20]


def test_an_answer_that_the_entry_cut_is_a_timeout_there_and_cancelled_inside() -> None:
    calls = calls_of("stream_cut_at_the_entry")
    assert outcomes(calls, ENTRY) == {"proxy_in": "timeout", "proxy_out": "timeout", "server": "cancelled"}
    assert set(outcomes(calls, GENERATION).values()) == {"cancelled"}


def test_an_answer_that_the_generators_proxy_cut_is_a_timeout_there_and_never_ok_at_the_entry() -> None:
    calls = calls_of("stream_cut_at_the_generator")
    expected = {"client": "timeout", "proxy_in": "timeout", "proxy_out": "timeout", "server": "cancelled"}
    assert outcomes(calls, GENERATION) == expected
    assert "ok" not in outcomes(calls, ENTRY).values()


def test_a_user_who_left_cancelled_the_whole_way_down() -> None:
    calls = calls_of("stream_whose_user_left")
    assert set(outcomes(calls, ENTRY).values()) == {"cancelled"}
    assert set(outcomes(calls, GENERATION).values()) == {"cancelled"}


def test_a_plain_answer_made_for_nobody_is_not_ok() -> None:
    calls = calls_of("plain_cut_at_the_entry")
    assert calls.filter(hop=ENTRY, vantage="proxy_in")["outcome"].to_list() == ["timeout"]
    assert calls.filter(hop=GENERATION, vantage="server")["outcome"].to_list() != ["ok"]


def test_each_layers_repetitions_are_counted_as_its_own_attempts() -> None:
    calls = calls_of("resets_repeated_at_two_layers")
    sent = calls.filter(hop=GENERATION, vantage="proxy_out")
    asked = calls.filter(hop=GENERATION, vantage="proxy_in").height
    assert asked == calls.filter(hop=ENTRY, vantage="proxy_out").height > 1
    assert sorted(sent["attempt"].to_list()) == sorted([1, 2, 3] * asked)
    assert "ok" not in set(sent["outcome"])
