"""Calls that are a frame already."""

from datetime import UTC, datetime

import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.schema import conform
from meshslo.telemetry.sources.column_map import ColumnMap
from meshslo.telemetry.sources.frames import calls_of_frame
from tests.support.calls import make_call, make_calls

NINE = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
COLUMNS = {"start": [NINE, NINE], "duration_s": [1.0, 2.0], "hop": ["a>b", "a>b"], "status_code": [200, 503]}


@pytest.mark.parametrize("make", [pl.DataFrame, pd.DataFrame, dict], ids=["polars", "pandas", "columns"])
def test_frames_of_any_make_give_the_same_calls(make: type) -> None:
    calls = conform(calls_of_frame(make(COLUMNS)).calls)
    assert calls.select("start", "duration_s", "caller", "outcome").rows() == [
        (NINE, 1.0, "a", "ok"),
        (NINE, 2.0, "a", "error"),
    ]
    assert_frame_equal(calls, conform(calls_of_frame(pl.DataFrame(COLUMNS)).calls))


def test_canonical_calls_stay_as_they_are() -> None:
    calls = make_calls([make_call(), make_call(outcome="timeout", first_token_s=0.5)])
    assert_frame_equal(conform(calls_of_frame(calls).calls), calls)


def test_columns_are_mapped_and_a_bad_row_is_told() -> None:
    frame = pl.DataFrame({"when": [1793610000, None], "latency_ms": [1500, 20]})
    framed = calls_of_frame(frame, ColumnMap.parse(["when=start", "latency_ms=duration_s"]))
    assert framed.calls["duration_s"].to_list() == [1.5]
    assert [str(bad) for bad in framed.tally.reasons] == ["the frame:2: no start"]


def test_what_is_no_table_of_calls_is_named() -> None:
    with pytest.raises(BadInputError, match="the frame: unknown column x"):
        calls_of_frame(pl.DataFrame({"start": [1], "duration_s": [1], "x": [1]}))
    with pytest.raises(BadInputError, match="no table of calls"):
        calls_of_frame(object())
