"""The dense counting agrees with a plain group-by, whatever the words, the weights and the number of groups."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from meshslo.analysis import counting, groups, histogram
from meshslo.analysis.adding import CELL_VALUES, weighed
from meshslo.analysis.counting import Counted, count
from meshslo.analysis.groups import ByHash
from meshslo.analysis.rollup import roll_up
from tests.support.calls import make_call, make_calls

rows_of = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "a much longer word than twelve bytes", None]),
        st.sampled_from(["x", "y", None]),
        st.booleans(),
        st.none() | st.integers(-1921, 1919),
        st.sampled_from([1.0, 2.5]),
    ),
    max_size=60,
)
SCHEMA = {"hop": pl.String, "model": pl.String, "event": pl.Boolean, "index": pl.Int16, "weight": pl.Float64}
WORDS = ["hop", "model", "event"]


def by_hash() -> ByHash:
    return ByHash(pl.Schema({word: SCHEMA[word] for word in WORDS}))


def timed(frame: pl.DataFrame) -> pl.LazyFrame:
    """The frame with durations that fall into the buckets it names."""
    return frame.lazy().with_columns(histogram.midpoint_expr(pl.col("index")).alias("value_s")).drop("index")


def plainly(frame: pl.DataFrame, *, weighted: bool) -> pl.DataFrame:
    weight = pl.col("weight") if weighted else pl.lit(1.0)
    return frame.group_by(*WORDS, "index").agg(
        pl.len().cast(pl.UInt64).alias("count"), (weight + 0 * pl.col("weight")).sum().alias("weight"),
        (weight**2 + 0 * pl.col("weight")).sum().alias("weight_sq"),
    )  # fmt: skip


def groups_of(counted: Counted) -> np.ndarray:
    """The row of totals of each cell."""
    return np.repeat(np.arange(counted.totals.height), counted.totals["rows"].to_numpy())


@settings(max_examples=60, deadline=None)
@given(rows_of, st.booleans())
def test_counting_is_a_group_by(rows: list[tuple[object, ...]], weighted: bool) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    counted = count(timed(frame), by_hash(), weighted=weighted)
    assert counted is not None
    named = counted.totals.select(WORDS)[groups_of(counted)].hstack(weighed(counted.cells))
    assert_frame_equal(named, plainly(frame, weighted=weighted), check_row_order=False)
    grouped = weighed(counted.cells).with_columns(pl.Series("group", groups_of(counted)))
    assert grouped.equals(grouped.sort("group", "index"))
    assert counted.totals.select(*WORDS, "seen").is_unique().all()
    of_cells = grouped.group_by("group").agg(pl.col(CELL_VALUES).sum()).sort("group")
    assert_frame_equal(of_cells.drop("group"), counted.totals.select(CELL_VALUES))


@pytest.mark.parametrize("batch_rows", [1, 7, 1000])
def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch, batch_rows: int) -> None:
    rng = np.random.default_rng(1)
    frame = pl.DataFrame(
        {
            "hop": rng.integers(0, 40, 500).astype(str),
            "model": rng.integers(0, 5, 500).astype(str),
            "event": rng.random(500) < 0.5,
            "index": rng.integers(-50, 50, 500).astype(np.int16),
            "weight": rng.random(500),
        }
    )
    monkeypatch.setattr(counting, "_BATCH_ROWS", batch_rows)
    monkeypatch.setattr(counting, "_MIN_ROWS", 1)
    counted = count(timed(frame), by_hash(), weighted=True)
    assert counted is not None
    named = counted.totals.select(WORDS)[groups_of(counted)].hstack(weighed(counted.cells))
    assert_frame_equal(named, plainly(frame, weighted=True), check_row_order=False)


def test_groups_that_share_a_place_in_the_table_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "_TABLE_BITS", 3)
    frame = pl.DataFrame([(str(n % 30), "m", True, n % 90, 1.0) for n in range(900)], schema=SCHEMA, orient="row")
    counted = count(timed(frame), by_hash(), weighted=False)
    assert counted is not None
    assert counted.totals.height == 30
    assert counted.cells["count"].sum() == 900


@pytest.mark.parametrize("limit", ["MAX_CELLS", "MAX_ROWS"])
def test_what_is_too_much_is_left_to_the_general_group_by(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(counting, limit, 10)
    calls = make_calls([make_call(tenant=str(n), duration_s=1.0 + n) for n in range(50)]).lazy()
    given_up = roll_up(calls, bucket=None)
    monkeypatch.undo()
    counted = roll_up(calls, bucket=None)
    assert_frame_equal(given_up.cells, counted.cells)
    assert_frame_equal(given_up.totals, counted.totals)


def test_sums_and_extremes_may_be_spared() -> None:
    calls = make_calls([make_call(duration_s=s) for s in (1.0, 2.0)]).lazy()
    for bucket in (None, "1m"):
        spared = roll_up(calls, bucket=bucket, phases=["total"], extremes=False)
        assert spared.totals.select("sum_s", "min_s", "max_s").row(0) == (None, None, None)
        assert spared.cells.equals(roll_up(calls, bucket=bucket, phases=["total"]).cells)
