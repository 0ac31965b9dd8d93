"""A store as people use it in Python: frames in, answers out."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from meshslo.analysis import from_calls, open_store
from meshslo.telemetry.errors import BadInputError, StoreError
from tests.support.calls import make_call, make_calls

NINE = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


def columns(calls: int) -> dict[str, list[object]]:
    return {
        "start": [NINE + timedelta(seconds=number) for number in range(calls)],
        "duration_s": [0.01 * (number + 1) for number in range(calls)],
        "hop": ["a>b"] * calls,
    }


@pytest.mark.parametrize("make", [pl.DataFrame, pd.DataFrame], ids=["polars", "pandas"])
def test_a_frame_is_added_once_however_often_and_reported(tmp_path: Path, make: type) -> None:
    store = open_store(tmp_path / "store", create=True)
    added = store.add(make(columns(100)))
    assert (added.rows, added.duplicates, added.refused) == (100, 0, 0)
    again = store.add(make(columns(100)))
    assert (again.rows, again.duplicates) == (0, 100)
    (row,) = open_store(tmp_path / "store").report(by=["hop"], quantiles=[0.5]).rows()
    assert (row["hop"], row["calls"]) == ("a>b", 100)
    assert row["quantiles"][0]["value_s"] == pytest.approx(0.5, rel=0.03)


def test_a_row_that_is_no_call_is_refused_with_its_place(tmp_path: Path) -> None:
    frame = pl.DataFrame(columns(3)).with_columns(duration_s=pl.Series([1.0, -1.0, 2.0]))
    added = open_store(tmp_path / "store", create=True).add(frame)
    assert (added.rows, added.refused) == (2, 1)
    assert str(added.reasons[0]).startswith("the frame:2: ")


def test_what_cannot_be_added_is_said(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store", create=True)
    with pytest.raises(BadInputError, match="no table of calls"):
        store.add(object())
    with pytest.raises(BadInputError, match="nothing can be added"):
        from_calls(make_calls([make_call()])).add(pl.DataFrame(columns(1)))


def test_nothing_is_made_unasked(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        open_store(tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_text_where_a_list_belongs_is_told(tmp_path: Path) -> None:
    store = from_calls(make_calls([make_call()]))
    with pytest.raises(BadInputError, match=r'by="hop" is a text; pass a list, by=\["hop"\]'):
        store.report(by="hop")
    with pytest.raises(BadInputError, match='kinds="timeouts" is a text'):
        store.recommend("timeouts")
