"""Exponential buckets: the layout OpenTelemetry states, the error bound, merging and coarsening."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshslo.analysis import histogram

durations = st.floats(min_value=2e-9, max_value=2**29, allow_nan=False)
indices = st.integers(-1900, 1900)


@pytest.mark.parametrize("power", range(-29, 30))
@pytest.mark.parametrize("scale", [0, 3, 6])
def test_a_power_of_two_closes_its_bucket(power: int, scale: int) -> None:
    index = int(histogram.index_of([2.0**power], scale)[0])
    assert index == power * 2**scale - 1
    assert histogram.upper_edge(index, scale) == 2.0**power


@given(indices, st.sampled_from([0, 1, 3, 6]))
def test_every_edge_belongs_to_the_bucket_below_it(index: int, scale: int) -> None:
    index >>= 6 - scale
    assert histogram.index_of([float(histogram.upper_edge(index, scale))], scale)[0] == index


@given(durations)
def test_a_duration_lies_between_the_edges_of_its_bucket(duration_s: float) -> None:
    index = histogram.index_of([duration_s])
    assert histogram.lower_edge(index)[0] * (1 - 1e-12) <= duration_s <= histogram.upper_edge(index)[0] * (1 + 2e-13)


@given(durations, st.integers(0, 6))
def test_the_midpoint_is_within_the_stated_error(duration_s: float, scale: int) -> None:
    estimate = histogram.midpoint(histogram.index_of([duration_s], scale), scale)[0]
    assert abs(estimate - duration_s) / duration_s <= histogram.relative_error(scale) * (1 + 1e-9)


def test_scale_six_is_within_0_55_per_cent() -> None:
    assert histogram.relative_error(6) < 0.0055


@given(st.lists(durations, min_size=1, max_size=50))
def test_polars_and_numpy_agree(values: list[float]) -> None:
    frame = pl.DataFrame({"value_s": values}).select(histogram.index_expr(pl.col("value_s")).alias("index"))
    assert frame["index"].to_list() == histogram.index_of(values).tolist()
    middle = frame.select(histogram.midpoint_expr(pl.col("index")))["literal"].to_numpy()
    np.testing.assert_allclose(middle, histogram.midpoint(frame["index"].to_numpy().astype(np.int64)), rtol=1e-14)


def test_what_was_not_seen_has_no_bucket() -> None:
    frame = pl.DataFrame({"value_s": [None, math.nan, 1.0]}, schema={"value_s": pl.Float64})
    assert frame.select(histogram.index_expr(pl.col("value_s")))["value_s"].to_list() == [None, None, -1]


@pytest.mark.parametrize("tiny", [0.0, -1.0, 1e-30, 2.0**-30])
def test_what_is_too_short_counts_at_the_floor(tiny: float) -> None:
    assert histogram.upper_edge(histogram.index_of([tiny]))[0] == histogram.FLOOR_S


@given(durations, st.integers(0, 6))
def test_coarsening_an_index_is_indexing_coarsely(duration_s: float, steps: int) -> None:
    fine = histogram.index_of([duration_s])
    assert histogram.coarser(fine, steps).tolist() == histogram.index_of([duration_s], 6 - steps).tolist()
    as_frame = pl.DataFrame({"i": fine}).select(histogram.coarser_expr(pl.col("i"), steps))
    assert as_frame["i"].to_list() == histogram.coarser(fine, steps).tolist()


def test_a_histogram_is_never_made_finer() -> None:
    with pytest.raises(ValueError, match="cannot be made finer"):
        histogram.coarser(np.array([1]), -1)
    with pytest.raises(ValueError, match="cannot be made finer"):
        histogram.coarser_expr(pl.col("index"), -1)


@given(st.lists(durations, max_size=30), st.lists(durations, max_size=30))
def test_merging_equals_counting_together(left: list[float], right: list[float]) -> None:
    def counted(values: list[float]) -> tuple[np.ndarray, np.ndarray]:
        index, count = np.unique(histogram.index_of(values), return_counts=True)
        return index, count

    merged = histogram.merge(counted(left), counted(right))
    for got, wanted in zip(merged, counted(left + right), strict=True):
        assert got.tolist() == wanted.tolist()


@given(st.lists(st.floats(allow_infinity=True), max_size=50), st.sampled_from([0, 1, 3, 1000]))
def test_the_quick_bucket_is_the_bucket(some: list[float], ulps: int) -> None:
    # Every edge, every longest duration that counts below it, and their neighbours.
    edges = histogram.upper_edge(np.arange(-1930, 1930))
    near = np.concatenate([edges, edges * (1.0 + 1.58e-13)]).view(np.int64)[:, np.newaxis] + [-ulps, ulps]
    values = np.concatenate([near.reshape(-1).view(np.float64), some, [-0.0, 5e-324]])
    quick = histogram.quick_index_of(values)
    seen = ~np.isnan(values)
    assert (quick[seen] == histogram.index_of(values[seen])).all()
    assert (quick[~seen] == histogram.UNSEEN).all()
