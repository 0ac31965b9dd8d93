"""Metrics over OTLP: what the SDK counted is what is stored, whatever the temporality, buckets and moments of export."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, ExponentialBucketHistogramAggregation, View

from meshslo.analysis.metrics import roll_up_series
from meshslo.analysis.rollup import roll_up
from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.otlp_metrics import STATE, Counted, count_points, metrics_json_to_protobuf, parse_metrics
from meshslo.telemetry.otlp_metrics.messages import labels_of, point_fault, points_of, readers_of
from meshslo.telemetry.store.metrics import stepwise
from tests.support.calls import EPOCH, make_call, make_calls
from tests.support.otlp_metrics import CUMULATIVE, DELTA, Service, make_attributes, make_metrics

NOW_NS = int(EPOCH.timestamp()) * 10**9
NOTHING = pl.DataFrame(schema=STATE)
FEW_BUCKETS = [View(instrument_name="*", aggregation=ExponentialBucketHistogramAggregation(max_size=8, max_scale=10))]
EXPLICIT = [View(instrument_name="*", aggregation=ExplicitBucketHistogramAggregation((0.1, 1.0, 10.0)))]
MINUTE_NS = 60 * 10**9
ATTRIBUTES = make_attributes(meshslo__vantage="server", meshslo__caller="gateway", meshslo__outcome="ok")


def counted(*exports: bytes, state: pl.DataFrame = NOTHING) -> Counted:
    return count_points(exports, state, NOW_NS)


def one_by_one(*exports: bytes) -> list[Counted]:
    """Each export in a step of its own, as a collector takes them."""
    steps, state = [], NOTHING
    for export in exports:
        steps.append(counted(export, state=state))
        state = steps[-1].state
    return steps


def rows(*steps: Counted) -> pl.DataFrame:
    return stepwise(pl.concat([step.series for step in steps]).lazy()).collect()


def calls(*steps: Counted) -> float:
    return float(rows(*steps).filter(pl.col("measure") == "bucket")["value"].sum())


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.one_of(st.just(0.0), st.floats(1e-9, 1e5)), max_size=20), min_size=1, max_size=4),
    st.sampled_from([DELTA, CUMULATIVE]),
    st.sampled_from([FEW_BUCKETS, EXPLICIT]),
)
def test_every_step_holds_exactly_the_durations_of_its_time(parts: list[list[float]], temporality: Any, views: Any) -> None:
    service = Service(temporality, views)
    # The SDK (1.45) cannot merge what follows with an export of zeros alone: "Incorrect merge scale".
    parts = [[1.0, *parts[0]], *parts[1:]]
    exports = []
    for durations_s in parts:
        service.record(durations_s)
        exports.append(service.export())
    for durations_s, step in zip(parts, one_by_one(*exports), strict=True):
        buckets = rows(step).filter(pl.col("measure") == "bucket")
        assert buckets["value"].sum() == len(durations_s)
        for low_s, high_s, value in buckets.select("low_s", "high_s", "value").iter_rows():
            inside = [one for one in durations_s if (low_s < one <= high_s) or (one == 0.0 == low_s)]
            assert value == pytest.approx(len(inside)), (low_s, high_s)
        total = rows(step).filter(pl.col("measure") == "sum_s")["value"].sum()
        assert total == pytest.approx(sum(durations_s), rel=1e-6, abs=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(1e-3, 3600.0), min_size=1, max_size=60))
def test_our_own_histograms_are_the_rollup_of_the_same_calls(durations_s: list[float]) -> None:
    service = Service()
    service.record(durations_s)
    pushed = roll_up_series(counted(service.export()).series.lazy(), keys=("hop",), bucket=None, phases=["total"])
    spans = [make_call(duration_s=one, caller="gateway", callee="generator", vantage="server") for one in durations_s]
    counts = roll_up(make_calls(spans).lazy(), keys=("hop",), bucket=None, phases=["total"])
    wanted = counts.cells.select("hop", "index", "count").sort("index")
    assert pushed.cells.select("hop", "index", "count").sort("index").equals(wanted)
    assert pushed.totals["sum_s"].sum() == pytest.approx(sum(durations_s))


@pytest.mark.parametrize("temporality", [DELTA, CUMULATIVE])
def test_an_export_that_comes_twice_counts_once(temporality: Any) -> None:
    service = Service(temporality)
    service.record([1.0, 2.0])
    first = service.export()
    service.record([3.0])
    second = service.export()
    assert calls(counted(first, second, first)) == 3
    steps = one_by_one(first, second, first, second)
    assert calls(*steps) == 3
    assert [step.repeats for step in steps] == [0, 0, 1, 1]


def test_cumulative_exports_lose_nothing_when_one_is_missing() -> None:
    service = Service(CUMULATIVE)
    service.record([1.0])
    first = service.export()
    service.record([2.0])
    service.export()
    service.record([3.0])
    assert calls(*one_by_one(first, service.export())) == 3


def test_delta_exports_that_overtake_each_other_all_count() -> None:
    service = Service(DELTA)
    exports = []
    for number in range(3):
        service.record([1.0 + number])
        exports.append(service.export())
    assert calls(*one_by_one(exports[1], exports[0], exports[2], exports[0])) == 3


def test_a_process_that_begins_anew_and_one_beside_it_count_too() -> None:
    exports = []
    for _ in range(3):
        service = Service(CUMULATIVE)
        service.record([1.0, 2.0])
        exports += [service.export(), service.export()]
    assert calls(*one_by_one(*exports)) == 6
    assert rows(*one_by_one(*exports))["source"].unique().to_list() == ["otlp"], "so that they are one view of the hop"


def histogram(*, start_ns: int = NOW_NS, after_ns: int = MINUTE_NS, temporality: int = 2, **point: Any) -> dict[str, Any]:
    fields = {"explicit_bounds": [1.0], "bucket_counts": [3, 1], "count": 4, "sum": 5.0, "attributes": ATTRIBUTES, **point}
    fields = {"start_time_unix_nano": start_ns, "time_unix_nano": start_ns + after_ns if start_ns else after_ns, **fields}
    return {"histogram": {"aggregation_temporality": temporality, "data_points": [fields]}}


def one(name: str = "meshslo.call.total", unit: str = "s", **data: Any) -> bytes:
    return bytes(make_metrics(name, unit, **data).SerializeToString())


def test_a_count_that_falls_without_a_new_start_began_anew() -> None:
    first = one(**histogram())
    fallen = one(**histogram(after_ns=2 * MINUTE_NS, bucket_counts=[1, 1], count=2))
    steps = one_by_one(first, fallen)
    assert [calls(step) for step in steps] == [4, 2]
    assert rows(steps[1])["start"].unique().to_list() == [EPOCH + timedelta(minutes=1)]


@pytest.mark.parametrize("start_ns", [0, NOW_NS - 25 * 3600 * 10**9], ids=["unknown", "a day ago"])
def test_what_was_counted_at_an_unknown_time_is_a_baseline(start_ns: int) -> None:
    first = one(**histogram(start_ns=start_ns, after_ns=NOW_NS - start_ns))
    more = {"after_ns": NOW_NS - start_ns + MINUTE_NS, "bucket_counts": [5, 1], "count": 6}
    steps = one_by_one(first, one(**histogram(start_ns=start_ns, **more)))
    assert [(calls(step), step.baselines) for step in steps] == [(0, 1), (2, 0)]


def test_streams_that_are_silent_for_a_day_are_forgotten() -> None:
    state = counted(one(**histogram())).state
    day_ns = 24 * 3600 * 10**9
    assert count_points([], state, NOW_NS + day_ns).state.height == 1
    assert count_points([], state, NOW_NS + day_ns + 2 * MINUTE_NS).state.height == 0


def test_streams_beyond_what_can_be_remembered_count_nowhere_and_are_told() -> None:
    service = Service()
    for number in range(5):
        service.record([1.0], **{"http.route": str(number)})
    step = count_points([service.export()], NOTHING, NOW_NS, max_streams=3)
    assert (step.points, step.surplus, calls(step), step.state.height) == (5, 2, 3, 3)
    again = count_points([service.export()], step.state, NOW_NS, max_streams=3)
    assert (again.surplus, calls(again)) == (2, 0)


def test_words_edges_and_time_of_a_histogram() -> None:
    attributes = [*ATTRIBUTES, *make_attributes(tenant__id="acme", gen_ai__request__model="large", http__route="/v1/chat")]
    told = rows(counted(one(**histogram(attributes=attributes))))
    low, high = told.filter(pl.col("measure") == "bucket").rows(named=True)
    assert (low["low_s"], low["high_s"], low["value"]) == (0.0, 1.0, 3.0)
    assert (high["low_s"], high["high_s"], high["value"]) == (1.0, float("inf"), 1.0)
    assert (low["start"], low["step_s"]) == (EPOCH, 60.0)
    words = {"hop": "gateway>generator", "tenant": "acme", "model": "large", "route": "/v1/chat", "outcome": "ok"}
    assert {name: low[name] for name in words} == words
    assert (low["profile"], low["phase"], low["reporter"]) == ("meshslo_sdk", "total", "server")


@pytest.mark.parametrize(
    ("name", "unit", "attributes", "hop", "outcome"),
    [
        ("gen_ai.client.operation.duration", "s", {"server.address": "api.openai.com"}, "generator>api.openai.com", "ok"),
        ("gen_ai.server.request.duration", "s", {"error.type": "408"}, "unknown>generator", "timeout"),
        ("gen_ai.server.request.duration", "s", {"gen_ai.original.model": "x"}, "ai-gateway>unknown", "ok"),
        ("gen_ai_server_request_duration_seconds", "", {}, "unknown>generator", "ok"),
        (
            "meshslo.call.max_gap",
            "s",
            {"meshslo.vantage": "client", "server.address": "reranker.ai.svc:80"},
            "generator>reranker",
            None,
        ),
    ],
)
def test_metrics_go_by_their_otel_or_prometheus_name(
    name: str, unit: str, attributes: Any, hop: str, outcome: str | None
) -> None:
    named = [{"key": key, "value": {"string_value": value}} for key, value in attributes.items()]
    (words,) = rows(counted(one(name, unit, **histogram(attributes=named)))).select("hop", "outcome").unique().rows()
    assert words == (hop, outcome)


def test_the_messages_unit_goes_before_the_profiles() -> None:
    point = histogram(explicit_bounds=[500.0], sum=4000.0)
    told = rows(
        counted(
            one("istio_request_duration_milliseconds", "ms", **point),
            one("meshslo_call_total_seconds", "ms", **histogram(explicit_bounds=[500.0])),
        )
    )
    assert told.filter(pl.col("measure") == "bucket")["high_s"].sort().to_list()[:2] == [0.5, 0.5]
    assert told.filter((pl.col("profile") == "istio") & (pl.col("measure") == "sum_s"))["value"].to_list() == [4.0]


def counter(value: float, after_ns: int = MINUTE_NS, **fields: Any) -> bytes:
    point = {
        "start_time_unix_nano": NOW_NS,
        "time_unix_nano": NOW_NS + after_ns,
        "attributes": make_attributes(finished_reason="abort"),
        **({"as_int": value} if isinstance(value, int) else {"as_double": value}),
    }
    return one(
        "vllm:request_success_total",
        "",
        sum={"aggregation_temporality": 2, "is_monotonic": True, **fields, "data_points": [point]},
    )


def test_counters_count_what_they_grew_by() -> None:
    steps = one_by_one(counter(3), counter(5.0, 2 * MINUTE_NS), counter(5.0, 3 * MINUTE_NS))
    told = rows(*steps).filter(pl.col("value") > 0)
    assert told.select("measure", "outcome", "value").rows() == [("calls", "cancelled", 3.0), ("calls", "cancelled", 2.0)]


def fault_of(metric: Any) -> str | None:
    """Of the first point of a metric without a resource."""
    point = points_of(metric)[0]
    return point_fault(metric, readers_of(metric), labels_of(point), point)


BAD: dict[str, tuple[bytes, str]] = {
    "unknown": (one("process.cpu.time", **histogram()), "no histogram or counter of calls that a profile reads"),
    "no side": (one(**histogram(attributes=[])), "no histogram or counter of calls that a profile reads"),
    "a gauge": (one(gauge={"data_points": [{"time_unix_nano": 1}]}), "no histogram or counter of calls"),
    "an up-down counter": (counter(1, is_monotonic=False), "no histogram or counter of calls"),
    "a falling counter": (counter(-1), "a counter's value must be from 0 on"),
    "no time": (one(**histogram(time_unix_nano=0, start_time_unix_nano=0)), "time_unix_nano is missing"),
    "backwards": (one(**histogram(after_ns=-1)), "before start_time_unix_nano or beyond the year 2262"),
    "too late": (one(**histogram(time_unix_nano=2**64 - 1)), "before start_time_unix_nano or beyond the year 2262"),
    "no temporality": (one(**histogram(temporality=0)), "neither delta nor cumulative"),
    "a bucket too few": (one(**histogram(bucket_counts=[4])), "one more than explicit_bounds"),
    "bounds that fall": (one(**histogram(explicit_bounds=[2.0, 1.0], bucket_counts=[1, 1, 2])), "numbers that ascend"),
    "bounds that are none": (one(**histogram(explicit_bounds=[float("nan")])), "numbers that ascend"),
    "a wrong count": (one(**histogram(count=5)), "count is not the sum of the buckets"),
    "a sum that is none": (one(**histogram(sum=float("nan"))), "sum must be a number from 0 on"),
    "too many buckets": (one(**histogram(bucket_counts=[0] * 10_001)), "more than 10000 buckets"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_point_that_cannot_be_counted_has_a_reason_and_counts_nowhere(what: str) -> None:
    export, reason = BAD[what]
    (metric,) = (
        metric for group in parse_metrics(export).resource_metrics for scope in group.scope_metrics for metric in scope.metrics
    )
    found = fault_of(metric)
    assert found is not None
    assert reason in found
    assert counted(export).points == 0


def exponential(**point: Any) -> bytes:
    fields = {
        "start_time_unix_nano": NOW_NS,
        "time_unix_nano": NOW_NS + MINUTE_NS,
        "count": 1,
        "scale": 0,
        "attributes": ATTRIBUTES,
        **point,
    }
    return one(exponential_histogram={"aggregation_temporality": 2, "data_points": [fields]})


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        ({"scale": 21, "positive": {"bucket_counts": [1]}}, "scale must be within -10 and 20"),
        ({"positive": {"bucket_counts": [1], "offset": 2**31 - 1}}, "offset within"),
        ({"negative": {"bucket_counts": [1]}}, "negative durations"),
        ({"zero_count": 1, "zero_threshold": float("nan")}, "zero_threshold"),
        ({"positive": {"bucket_counts": [2]}}, "count is not the sum"),
    ],
)
def test_exponential_points_have_their_own_faults(point: dict[str, Any], reason: str) -> None:
    metric = parse_metrics(exponential(**point)).resource_metrics[0].scope_metrics[0].metrics[0]
    assert reason in str(fault_of(metric))


@pytest.mark.parametrize("offset", [-(2**30), 2**30])
def test_buckets_beyond_any_number_break_nothing(offset: int) -> None:
    assert calls(counted(exponential(positive={"bucket_counts": [1], "offset": offset}))) == 1


def test_a_zero_bucket_that_grew_is_no_restart() -> None:
    first = exponential(scale=3, count=5, positive={"bucket_counts": [2, 3], "offset": -80})
    wider = exponential(
        time_unix_nano=NOW_NS + 2 * MINUTE_NS,
        count=6,
        scale=3,
        zero_count=5,
        zero_threshold=0.01,
        positive={"bucket_counts": [1]},
    )
    steps = one_by_one(first, wider)
    assert [calls(step) for step in steps] == [5, 1]


def test_a_point_without_a_value_says_nothing() -> None:
    assert counted(one(**histogram(flags=1, count=0, bucket_counts=[0, 0]))).points == 0


def test_json_says_the_same() -> None:
    request = make_metrics(
        "meshslo.call.total",
        **histogram(
            attributes=ATTRIBUTES,
            exemplars=[{"trace_id": bytes(15) + b"\x07", "span_id": bytes(7) + b"\x08", "as_double": 1.0}],
        ),
    )
    document = MessageToDict(request)
    (exemplar,) = document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["histogram"]["dataPoints"][0]["exemplars"]
    exemplar.update(traceId="0" * 31 + "7", spanId="0" * 15 + "8", invented=1)
    assert metrics_json_to_protobuf(json.dumps(document)) == request.SerializeToString()


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"resourceMetrics": [1]}', '{"resourceMetrics": 5}', "[" * 100_000])
def test_what_is_no_json_metrics_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match="not OTLP/JSON metrics"):
        metrics_json_to_protobuf(text)


def test_bytes_that_are_no_metrics_are_refused() -> None:
    exports: Sequence[bytes] = [b"\x00\xffgarbage"]
    with pytest.raises(BadInputError, match="no OTLP metrics export"):
        count_points(exports, NOTHING, NOW_NS)
