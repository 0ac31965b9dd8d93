"""Tokens a second of streams, against the exact quantiles of the same streams."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshslo.analysis.rates import SLOWER, token_rates
from tests.support.calls import make_call, make_calls


def streams(rates: list[float], **columns: object) -> list[dict[str, object]]:
    """A stream of 100 tokens at each rate, whose first token takes a second."""
    told = {"first_token_s": 1.0, "output_tokens": 100, "chunks": 100, "streaming": True, "vantage": "server", **columns}
    return [make_call(at_s=n, duration_s=1.0 + 100 / rate, **told) for n, rate in enumerate(rates)]


def test_rates_are_the_quantiles_of_the_streams() -> None:
    rates = np.random.default_rng(3).uniform(10.0, 90.0, 2000)
    found = token_rates(make_calls(streams(rates.tolist())).lazy())
    assert found["q"].to_list() == list(SLOWER)
    exact = np.quantile(rates, SLOWER)
    for row, value in zip(found.iter_rows(named=True), exact, strict=True):
        assert row["tokens_per_s"] == pytest.approx(value, rel=0.02)
        assert row["low"] <= value <= row["high"]
        assert (row["streams"], row["status"]) == (2000, "ok")


def test_few_streams_are_no_slow_tail() -> None:
    found = token_rates(make_calls(streams([20.0] * 10)).lazy())
    slow, half, _ = found.iter_rows(named=True)
    assert (slow["status"], slow["tokens_per_s"]) == ("not_identifiable", None)
    assert slow["needs_calls"] == 49
    assert half["tokens_per_s"] == pytest.approx(20.0, rel=0.01)


def test_streams_that_nobody_counted_and_answers_at_once_have_no_rate() -> None:
    none = [*streams([20.0] * 5, output_tokens=None), *streams([20.0] * 5, output_tokens=0), make_call()]
    # What comes at once has no rate either: its first token is its last.
    none += [*streams([1e6] * 5, chunks=1), *streams([1e6] * 5, streaming=False)]
    assert token_rates(make_calls(none).lazy()).is_empty()


def test_a_stream_seen_twice_counts_once_and_cut_ones_count() -> None:
    rows = [
        *streams([20.0] * 100),
        *streams([40.0] * 100, vantage="client"),
        *streams([40.0] * 50, vantage="client", outcome="timeout"),
    ]
    found = token_rates(make_calls(rows).lazy(), ["hop", "model"])
    assert found["vantage"].unique().to_list() == ["client"]
    assert found["streams"].unique().to_list() == [150]


@given(st.lists(st.floats(1.0, 1000.0), min_size=60, max_size=120))
def test_order_changes_nothing_and_more_are_slower_than_a_higher_rate(rates: list[float]) -> None:
    calls = make_calls(streams(rates))
    found = token_rates(calls.lazy(), slower=(0.2, 0.5, 0.8))
    assert token_rates(calls.sample(fraction=1.0, shuffle=True, seed=1).lazy(), slower=(0.2, 0.5, 0.8)).equals(found)
    values = found["tokens_per_s"].drop_nulls().to_list()
    assert values == sorted(values)
    assert found.filter(pl.col("low") > pl.col("tokens_per_s")).is_empty()
