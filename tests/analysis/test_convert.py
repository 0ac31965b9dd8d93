"""There and back without loss; the same buckets as OpenTelemetry's SDK and a real Prometheus' numbers; errors carried."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import ExponentialHistogramDataPoint
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View

from meshslo.analysis import from_calls, histogram
from meshslo.analysis.convert import (
    Buckets,
    NativeHistogram,
    OtelHistogram,
    from_classic,
    from_native,
    from_otel,
    of_rollup,
    to_classic,
    to_native,
    to_otel,
)
from meshslo.analysis.survival import LifeTable
from meshslo.telemetry.buckets import STREAM_EDGES_S
from meshslo.telemetry.exposition import cumulative
from meshslo.telemetry.otlp_metrics.held import held_in
from tests.support.calls import make_call, make_calls

durations = st.lists(st.one_of(st.just(0.0), st.floats(1e-9, 1e6)), min_size=0, max_size=60)
scales = st.integers(-4, histogram.SCALE)


def counted(seconds: list[float], scale: int = histogram.SCALE) -> Buckets:
    index, count = np.unique(histogram.index_of(seconds), return_counts=True)
    coarse, place = np.unique(histogram.coarser(index, histogram.SCALE - scale), return_inverse=True)
    return Buckets.of_ours(coarse, np.bincount(place, weights=count, minlength=len(coarse)).astype(np.int64), scale)


def same(left: Buckets, right: Buckets) -> bool:
    arrays = np.array_equal(left.index, right.index) and np.array_equal(left.count, right.count)
    return arrays and (left.scale, left.zeros, left.zero_s) == (right.scale, right.zeros, right.zero_s)


@given(durations, scales)
def test_nothing_is_lost_on_the_way_to_opentelemetry_and_back(seconds: list[float], scale: int) -> None:
    buckets = counted(seconds, scale)
    point = to_otel(buckets)
    assert point.count == len(seconds)
    assert same(from_otel(point), buckets)


@given(durations, scales)
def test_nothing_is_lost_on_the_way_to_prometheus_and_back(seconds: list[float], scale: int) -> None:
    buckets = counted(seconds, scale)
    native = to_native(buckets)
    assert sum(length for _, length in native.spans) == len(native.deltas)
    assert same(from_native(native), buckets)


@given(durations, scales, scales)
def test_scales_change_before_or_after_alike(seconds: list[float], one: int, other: int) -> None:
    fine, coarse = max(one, other), min(one, other)
    buckets = counted(seconds, fine)
    assert same(from_otel(to_otel(buckets)).coarser(coarse), from_native(to_native(buckets.coarser(coarse))))


@given(durations)
def test_what_is_ours_comes_back_as_ours(seconds: list[float]) -> None:
    index, count = np.unique(histogram.index_of(seconds), return_counts=True)
    back = from_native(to_native(Buckets.of_ours(index, count))).ours()
    assert np.array_equal(back[0], index)
    assert np.array_equal(back[1], count)


def test_no_time_is_within_the_zero_bucket_at_any_scale() -> None:
    for scale in range(-4, histogram.SCALE + 1):
        coarse = counted([0.0, 1e-9, 1.0], scale)
        assert coarse.zeros == 1 + (coarse.zero_s >= 1e-9)


def test_the_sdk_of_opentelemetry_counts_into_the_same_buckets() -> None:
    seconds = np.random.default_rng(1).lognormal(0.0, 0.3, 500).tolist()
    reader = InMemoryMetricReader()
    view = View(instrument_name="*", aggregation=ExponentialBucketHistogramAggregation(max_size=320, max_scale=histogram.SCALE))
    provider = MeterProvider([reader], views=[view])
    recorder = provider.get_meter("test").create_histogram("duration", unit="s")
    for second in seconds:
        recorder.record(second)
    data = reader.get_metrics_data()
    provider.shutdown()
    assert data is not None
    (theirs,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert theirs.scale == histogram.SCALE
    point = OtelHistogram.of(theirs)
    ours = counted(seconds)
    assert np.array_equal(from_otel(point).index, ours.index)
    assert np.array_equal(from_otel(point).count, ours.count)


def test_a_point_is_what_the_wire_carries() -> None:
    point = to_otel(counted([0.0, 0.5, 1.0, 2.0, 2.0]))
    wire = ExponentialHistogramDataPoint(count=point.count, scale=point.scale, zero_count=point.zero_count)
    wire.zero_threshold = point.zero_threshold
    wire.positive.offset = point.offset
    wire.positive.bucket_counts.extend(point.bucket_counts)
    read = ExponentialHistogramDataPoint.FromString(wire.SerializeToString())
    assert (read.count, read.zero_count, sum(read.positive.bucket_counts)) == (5, 1, 4)
    assert OtelHistogram.of(read) == point
    read.negative.bucket_counts.append(1)
    with pytest.raises(ValueError, match="negative values"):
        OtelHistogram.of(read)


@given(durations, scales)
def test_the_collector_reads_the_same_buckets_from_a_point(seconds: list[float], scale: int) -> None:
    """It may not import this, and has its own way: from the wire, by numbers in a dict."""
    point = to_otel(counted(seconds, scale))
    wire = ExponentialHistogramDataPoint(count=point.count, scale=scale, zero_count=point.zero_count)
    wire.zero_threshold = point.zero_threshold
    wire.positive.offset = point.offset
    wire.positive.bucket_counts.extend(point.bucket_counts)
    theirs, ours = list(held_in("exponential_histogram", wire).edges()), from_otel(OtelHistogram.of(wire)).edges()
    assert [calls for *_, calls in theirs] == ours.calls.tolist()
    assert [low_s for low_s, *_ in theirs] == pytest.approx(ours.low_s.tolist())
    assert [high_s for _, high_s, _ in theirs] == pytest.approx(ours.high_s.tolist())


@given(durations)
def test_a_services_metrics_page_counts_as_many_up_to_each_edge(seconds: list[float]) -> None:
    """It goes without numpy; its edges miss no bucket that ends at one."""
    buckets = counted(seconds)
    positive = SimpleNamespace(offset=to_otel(buckets).offset, bucket_counts=to_otel(buckets).bucket_counts)
    point = SimpleNamespace(scale=buckets.scale, zero_count=buckets.zeros, positive=positive)
    assert cumulative(point, STREAM_EDGES_S) == to_classic(buckets, STREAM_EDGES_S).least.tolist()


def test_spans_are_numbered_as_prometheus_does() -> None:
    """Schema 0: bucket i ends at 2 ** i, so that 1 s lies in bucket 0 and 8 s in bucket 3."""
    native = to_native(counted([1.0, 1.0, 8.0], scale=0))
    assert native == NativeHistogram(0, 0, 2.0**-30, ((0, 1), (2, 1)), (2, -1))


def test_what_prometheus_does_not_know_is_named() -> None:
    with pytest.raises(ValueError, match="scale 9 is no schema"):
        to_native(Buckets(np.array([0]), np.array([1]), scale=9))
    with pytest.raises(ValueError, match=r"zero bucket reaches to 0\.01 s"):
        Buckets(np.array([0]), np.array([1]), zeros=3, zero_s=0.01).ours()


@given(durations)
def test_a_classic_histogram_holds_every_call_between_its_edges(seconds: list[float]) -> None:
    bounds = [0.005, 0.1, 1.0, 10.0, 60.0, 300.0, math.inf]
    edged = from_classic(bounds, [sum(s <= bound for s in seconds) for bound in bounds])
    assert edged.calls.sum() == len(seconds)
    for low, high, error in zip(edged.low_s, edged.high_s, edged.relative_error, strict=True):
        for s in (s for s in seconds if low < s <= high):
            middle = 2.0 / (1.0 / low + 1.0 / high) if low else 0.0
            assert math.isinf(high) or abs(middle - s) <= error * s * (1 + 1e-9)


def test_the_true_error_of_wide_buckets_is_carried() -> None:
    error = from_classic([60.0, 300.0, math.inf], [5, 8, 9]).relative_error
    assert error.tolist() == pytest.approx([1.0, 240 / 360, 1.0])


@given(durations)
def test_counts_up_to_a_bound_are_between_least_and_most(seconds: list[float]) -> None:
    bounds = [0.1, 1.0, 3.0, 64.0]
    found = to_classic(counted(seconds), bounds)
    exact = [sum(s <= bound for s in seconds) for bound in bounds]
    assert (found.least <= exact).all()
    assert (exact <= found.most).all()
    # A power of two is an edge of ours.
    assert found.least[1] == found.most[1]
    assert found.least[3] == found.most[3]


@pytest.mark.parametrize(
    ("bounds", "cumulative", "sentence"),
    [
        ([1.0, 1.0, math.inf], [1, 2, 3], "must rise"),
        ([1.0, 2.0], [1, 2], "end at infinity"),
        ([1.0, math.inf], [3, 2], "fall"),
    ],
)
def test_what_is_no_classic_histogram_is_named(bounds: list[float], cumulative: list[int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        from_classic(bounds, cumulative)


def test_a_quantile_of_anybodys_buckets_is_that_of_ours() -> None:
    seconds = np.random.default_rng(1).lognormal(0.0, 0.7, 1000).tolist()
    ours = LifeTable.from_durations(seconds).quantile(0.95)
    theirs = from_native(to_native(counted(seconds))).edges().table().quantile(0.95)
    assert (theirs.value_s, theirs.upper_s) == (pytest.approx(ours.value_s, rel=0.006), pytest.approx(ours.upper_s))
    # Where one ends in a bucket and the other at its edge, they differ by its width at most.
    assert theirs.low_s == pytest.approx(ours.low_s, rel=0.011)


def test_what_no_bucket_bounds_is_only_bounded_from_below() -> None:
    table = from_classic([1.0, math.inf], [10, 1000]).table()
    assert (table.quantile(0.95).status, table.quantile(0.95).value_s) == ("at_least", 1.0)
    assert Buckets(np.array([], np.int64), np.array([], np.int64)).edges().table().quantile(0.5).status == "not_identifiable"


def test_a_rollups_groups_are_told_each() -> None:
    rows = [make_call(model=model, duration_s=s) for model in "ab" for s in (0.5, 1.0, 8.0)]
    rows += [make_call(model="a", duration_s=3.0, outcome="timeout"), make_call(model="b", first_token_s=None, duration_s=2.0)]
    found = list(of_rollup(from_calls(make_calls(rows)).rollup(by=["model"], bucket="1h", phases=["total"])))
    told = {(words["model"], words["outcome"]): sum(to_otel(buckets).bucket_counts) for words, buckets in found}
    assert told == {("a", "ok"): 3, ("b", "ok"): 4}
