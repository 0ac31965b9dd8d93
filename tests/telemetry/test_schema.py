"""The canonical call row."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from meshslo.telemetry.schema import CALLS, FRAME, conform, fit, from_arrow, to_arrow
from meshslo.telemetry.vocabulary import PHASE_COLUMNS
from tests.support.calls import make_call, make_calls


def test_arrow_and_back_gives_the_same_rows() -> None:
    calls = make_calls([make_call(), make_call(outcome="timeout", response_flags="UT", tenant=None, chunks=7)])
    table = to_arrow(calls)
    assert table.schema == CALLS
    assert_frame_equal(from_arrow(table), calls)


def test_missing_columns_become_null_and_order_is_fixed() -> None:
    calls = conform(make_calls([make_call()]).select("outcome", "hop", "start", "vantage"))
    assert calls.schema == FRAME
    assert calls["duration_s"].null_count() == 1


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(ValueError, match="not columns of a call: latency"):
        conform(make_calls([make_call()]).with_columns(latency=pl.lit(1.0)))


def test_a_call_without_an_outcome_is_refused() -> None:
    with pytest.raises(ValueError, match="calls without outcome"):
        make_calls([make_call(outcome=None)])


def test_every_phase_has_its_column() -> None:
    assert set(PHASE_COLUMNS.values()) <= set(FRAME)


def test_a_fitted_frame_has_no_empty_columns_and_is_the_same_calls() -> None:
    calls = make_calls([make_call(), make_call(tenant=None, chunks=7)])
    coded = fit(calls.with_columns(pl.col("tenant", "model").cast(pl.Categorical(pl.Categories.random()))))
    assert coded.width < calls.width
    assert to_arrow(coded) == to_arrow(calls)
    assert_frame_equal(conform(coded), calls)


def test_words_of_other_rows_are_in_no_file() -> None:
    calls = make_calls([make_call(tenant="first"), make_call(tenant="second"), make_call(tenant=None)])
    coded = calls.with_columns(pl.col("tenant").cast(pl.Categorical(pl.Categories.random())))
    column = to_arrow(coded.tail(2))["tenant"].combine_chunks()
    assert (column.to_pylist(), column.dictionary.to_pylist()) == (["second", None], ["second"])
