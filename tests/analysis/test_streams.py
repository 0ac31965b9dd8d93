"""What streams cost that did not end well, and which timer cut them."""

from typing import Any

import polars as pl
import pytest

from meshslo.analysis.streams import cut_reasons, stream_costs
from tests.support.calls import make_call, make_calls


def stream(**columns: Any) -> dict[str, Any]:
    return make_call(**{"chunks": 10, "output_tokens": 20, "first_token_s": 0.1} | columns)


def costs(*rows: dict[str, Any], by: tuple[str, ...] = ("hop",)) -> list[dict[str, Any]]:
    return stream_costs(make_calls(list(rows)).lazy(), by).to_dicts()


def test_tokens_and_time_of_streams_that_did_not_end_well_are_in_vain() -> None:
    (row,) = costs(stream(), stream(outcome="timeout", output_tokens=7, duration_s=3.0), stream(outcome="cancelled"))
    assert (row["calls"], row["ok"], row["timeout"], row["cancelled"]) == (3, 1, 1, 1)
    assert (row["tokens"], row["tokens_in_vain"]) == (47, 27)
    assert (row["held_s"], row["held_in_vain_s"]) == (5.0, 4.0)


def test_where_tokens_are_not_counted_chunks_are() -> None:
    (row,) = costs(stream(output_tokens=None, outcome="timeout"))
    assert row["tokens_in_vain"] == 10


def test_a_stream_seen_from_two_sides_counts_once_from_the_side_that_saw_chunks() -> None:
    (row,) = costs(stream(vantage="server"), make_call(vantage="proxy_in", chunks=None))
    assert (row["vantage"], row["calls"]) == ("server", 1)


def test_the_outer_side_is_asked_where_both_saw_chunks() -> None:
    (row,) = costs(stream(vantage="server"), stream(vantage="client"))
    assert row["vantage"] == "client"


def test_answers_in_one_chunk_are_no_streams() -> None:
    assert costs(stream(chunks=1), make_call(streaming=False, chunks=1)) == []


def test_an_answer_told_not_to_stream_is_none_though_its_first_token_was_seen() -> None:
    (row,) = costs(stream(streaming=True), stream(streaming=None), stream(streaming=False, chunks=1))
    assert row["calls"] == 2


def test_groups_are_told_apart_by_any_key() -> None:
    rows = costs(stream(model="a"), stream(model="b"), stream(model=None), by=("hop", "model"))
    assert [row["model"] for row in rows] == ["a", "b", None]


def test_a_stream_that_its_callee_saw_left_was_cut_where_a_proxy_saw_the_timer() -> None:
    trace, other = b"1" * 16, b"2" * 16
    seen = {"vantage": "server", "outcome": "cancelled"}
    proxy = make_call(vantage="proxy_out", outcome="timeout", chunks=None, trace_id=trace)
    (row,) = costs(stream(trace_id=trace, **seen), stream(trace_id=other, **seen), proxy)
    assert (row["vantage"], row["calls"], row["timeout"], row["cancelled"]) == ("server", 2, 1, 1)


@pytest.mark.parametrize(
    ("flags", "told"), [("UT", {"UT": "timeout"}), ("SI,URX", {"SI": "timeout"}), ("DC", {"DC": "cancelled"})]
)
def test_the_flag_says_what_cut_a_call(flags: str, told: dict[str, str]) -> None:
    found = cut_reasons(make_calls([make_call(vantage="proxy_out", response_flags=flags, outcome="timeout")]).lazy())
    assert dict(found.select("flag", "outcome").iter_rows()) == told
    assert found["calls"].to_list() == [1]


def test_flags_of_other_endings_and_of_no_proxy_are_left_out() -> None:
    rows = [
        make_call(vantage="proxy_out", response_flags="UF", outcome="rejected"),
        make_call(vantage="client", response_flags="UT", outcome="timeout"),
    ]
    assert cut_reasons(make_calls(rows).lazy()).is_empty()


def test_a_call_that_two_proxies_flagged_counts_once() -> None:
    rows = [make_call(vantage=vantage, response_flags="UT", outcome="timeout") for vantage in ("proxy_out", "proxy_in")]
    found = cut_reasons(make_calls(rows).lazy())
    assert found.select("vantage", "calls").rows() == [("proxy_out", 1)]


def test_no_calls_cost_nothing() -> None:
    assert stream_costs(make_calls([stream()]).lazy().filter(pl.lit(value=False))).is_empty()
    assert cut_reasons(make_calls([stream()]).lazy().filter(pl.lit(value=False))).is_empty()
