"""Time per token and the line of each model, cut streams with them; the timeout that follows max_tokens; a real service."""

import json

import polars as pl
import pytest

from meshslo.analysis.api import from_calls
from meshslo.analysis.config import parse_config
from meshslo.analysis.tokens import PerToken, TokenTimes, timeout_for_tokens
from meshslo.analysis.tokens.rows import token_rows
from meshslo.telemetry.errors import BadInputError
from tests.support.llmperf import llmperf_calls
from tests.support.token_streams import streams

CONFIG = parse_config('[objectives]\nfalse_timeout_ratio = 0.01\n[models."m"]\nmax_tokens = 1000')


def asked(calls: pl.DataFrame) -> TokenTimes:
    return from_calls(calls).tokens(config=CONFIG)


def one(calls: pl.DataFrame) -> PerToken:
    (item,) = asked(calls).items
    return item


def test_each_model_has_its_time_per_token_and_its_line() -> None:
    item = one(streams(1))
    assert item.target == {"hop": "gateway>generator", "model": "m"}
    assert item.per_token[0].value_s == pytest.approx(0.02, rel=0.02)
    assert item.per_output_token_s is not None
    # Between the median of the paces, 20 ms, and their mean.
    assert item.per_output_token_s.low <= 0.0204
    assert item.per_output_token_s.high >= 0.02
    assert item.per_input_token_s is not None
    assert item.per_input_token_s.low <= 0.0 <= item.per_input_token_s.high


def test_cut_streams_show_their_pace_as_well_as_whole_ones() -> None:
    """Under a timer the finished streams are the short and the quick: alone they make the model look quicker."""
    calls = streams(2, cap_s=4.0)
    item = one(calls)
    alone = one(calls.filter(outcome="ok"))
    assert item.cut > 900
    assert not item.survivors
    assert item.per_output_token_s is not None
    assert alone.per_output_token_s is not None
    uncut = one(streams(2)).per_output_token_s
    assert uncut is not None
    assert item.per_output_token_s.estimate == pytest.approx(uncut.estimate, rel=0.01)
    assert alone.per_output_token_s.high < item.per_output_token_s.low


def test_cut_calls_without_a_count_make_it_a_line_of_survivors() -> None:
    blind = streams(3, cap_s=4.0).with_columns(pl.when(outcome="ok").then("chunks").alias("chunks"))
    item = one(blind)
    assert item.off_the_line > 900  # the finished ones alone have a time per token
    assert item.survivors


def test_the_timeout_for_max_tokens_keeps_its_promise() -> None:
    """Learned under a timer that cuts a third of the streams; judged on uncut ones of up to 1,000 tokens."""
    item = one(streams(4, n=6000, cap_s=4.0))
    assert item.timeout is not None
    value_s = item.timeout.value_s
    assert value_s is not None
    later = streams(5, n=20_000).filter(pl.col("output_tokens") <= 1000)
    assert (later["duration_s"] > value_s).mean() <= 0.01
    assert item.timeout.at(100) < value_s
    assert value_s < 60.0


def test_too_few_streams_say_how_many_more() -> None:
    found = timeout_for_tokens(token_rows(streams(6, n=200).lazy(), ["hop"]), 1000, 0.01)
    assert (found.value_s, found.at(10)) == (None, None)
    assert found.needs_calls is not None
    assert found.needs_calls > 100


def test_chunks_stand_for_tokens_at_the_rate_of_finished_streams() -> None:
    calls = streams(7, cap_s=4.0).with_columns(chunks=(pl.col("chunks") / 4).ceil().cast(pl.UInt32))
    item = one(calls)
    assert item.per_output_token_s is not None
    assert item.per_output_token_s.estimate == pytest.approx(0.02, rel=0.08)


def test_answers_in_one_piece_are_no_streams() -> None:
    """They show their first token with the last one: their tokens did not take no time."""
    calls = streams(10)
    plain = streams(11, n=1500).with_columns(
        streaming=False, chunks=pl.lit(1, pl.UInt32), first_token_s="duration_s", max_gap_s=None
    )
    mixed, alone = one(pl.concat([calls, plain.select(calls.columns)])), one(calls)
    assert mixed.per_token == alone.per_token
    assert mixed.per_output_token_s is not None
    assert alone.per_output_token_s is not None
    assert mixed.per_output_token_s.estimate == pytest.approx(alone.per_output_token_s.estimate)


def test_json_and_frame_say_the_same() -> None:
    found = asked(streams(8))
    (read,) = json.loads(found.to_json())["items"]
    assert read["timeout"]["value_s"] == found.frame["timeout_s"][0]
    assert read["per_output_token_s"]["estimate"] == found.frame["per_output_token_s_estimate"][0]


@pytest.mark.parametrize("by", [["nope"], ["vantage"], []])
def test_keys_that_calls_have_not_are_named(by: list[str]) -> None:
    with pytest.raises(BadInputError, match="not keys of calls"):
        from_calls(streams(9, n=50)).tokens(by=by)


def test_calls_without_models_or_tokens_have_none() -> None:
    assert asked(streams(9).with_columns(model=None)).items == ()
    assert asked(streams(9).with_columns(chunks=None, output_tokens=None)).items == ()


def test_a_real_service_has_the_pace_it_was_measured_at() -> None:
    """All of llmperf's answers are about 150 tokens: pace and base are told from the streams, the line has hardly a slope."""
    calls = llmperf_calls().filter(model="13b")
    found = {item.target["hop"]: item for item in from_calls(calls).tokens(by=["hop"]).items}
    each = (pl.col("duration_s") - pl.col("first_token_s")) / (pl.col("output_tokens") - 1)
    for hop in ("bench>anyscale", "bench>together", "bench>replicate"):
        exact = calls.filter(hop=hop).select(each.quantile(0.5, "nearest")).item()
        half, _, tail = found[hop].per_token
        assert half.value_s == pytest.approx(exact, rel=0.02)
        assert tail.status == "not_identifiable"
