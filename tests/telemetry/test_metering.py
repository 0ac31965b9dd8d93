"""Metrics of calls: the rollup's own scale, every call whether sampled or not, and an exposition that a Prometheus can read."""

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ExponentialHistogram, InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import SpanKind

from meshslo.telemetry import names
from meshslo.telemetry.buckets import ROLLUP_SCALE, STREAM_EDGES_S
from meshslo.telemetry.exposition import cumulative, exposition, metrics_app
from meshslo.telemetry.metering import Measured, MeteringProcessor, views


class Meters:
    """Spans of given lengths in, metrics out."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self.reader = InMemoryMetricReader()
        resource = Resource({"service.name": "gateway"})
        self.meters = MeterProvider([self.reader], resource, shutdown_on_exit=False, views=views())
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(Measured(sampler), resource, shutdown_on_exit=False)
        self.provider.add_span_processor(MeteringProcessor(self.meters))
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def call(self, duration_s: float = 1.0, kind: SpanKind = SpanKind.CLIENT, **attributes: Any) -> None:
        told = {names.OUTCOME: "ok", **attributes}
        span = self.provider.get_tracer("meshslo").start_span("call", kind=kind, attributes=told, start_time=0)
        span.end(round(duration_s * 1e9))

    def points(self) -> dict[str, list[Any]]:
        data = self.reader.get_metrics_data()
        metrics = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics] if data else []
        assert all(isinstance(metric.data, ExponentialHistogram) for metric in metrics)
        return {metric.name: list(metric.data.data_points) for metric in metrics}


def test_a_millisecond_and_an_hour_together_keep_the_rollups_scale() -> None:
    meters = Meters()
    for duration_s in (0.001, 0.5, 600.0, 3599.0):
        meters.call(duration_s)
    (point,) = meters.points()["meshslo.call.total"]
    assert (point.scale, point.count) == (ROLLUP_SCALE, 4)


def test_values_lie_in_the_buckets_that_the_rollup_gives_them() -> None:
    meters = Meters()
    meters.call(7.3)
    (point,) = meters.points()["meshslo.call.total"]
    index = point.positive.offset + next(n for n, count in enumerate(point.positive.bucket_counts) if count)
    assert index == math.ceil(math.log2(7.3) * 2**ROLLUP_SCALE) - 1


def test_every_phase_is_told_by_hop_tenant_model_and_outcome() -> None:
    meters = Meters()
    key = {names.TENANT: "acme", names.MODEL: "small", "server.address": "generator", "url.template": "/v1/chat"}
    meters.call(**key, **{names.FIRST_BYTE_S: 0.1, names.FIRST_TOKEN_S: 0.4, names.MAX_GAP_S: 0.2, "unrelated": "x"})
    points = meters.points()
    assert set(points) == {f"meshslo.call.{phase}" for phase in ("total", "first_byte", "first_token", "max_gap")}
    for (point,) in points.values():
        assert point.attributes == {**key, names.OUTCOME: "ok", "meshslo.vantage": "client"}
    assert points["meshslo.call.first_token"][0].sum == pytest.approx(0.4)


def test_an_answer_that_comes_whole_has_no_first_token() -> None:
    meters = Meters()
    meters.call(**{names.FIRST_BYTE_S: 0.1, names.FIRST_TOKEN_S: 0.4, names.STREAMING: False})
    assert set(meters.points()) == {"meshslo.call.total", "meshslo.call.first_byte"}


def test_models_have_the_metrics_of_the_conventions() -> None:
    meters = Meters()
    model = {names.OPERATION: "chat", names.MODEL: "small", names.STREAMING: True, names.FIRST_TOKEN_S: 0.4}
    meters.call(**model, **{names.INPUT_TOKENS: 30, names.OUTPUT_TOKENS: 50})
    meters.call(kind=SpanKind.SERVER, **model)
    meters.call(kind=SpanKind.SERVER, **model | {names.OUTCOME: "error", "error.type": "ValueError"})
    points = {name: found for name, found in meters.points().items() if name.startswith("gen_ai.")}
    counts = {name: sum(point.count for point in found) for name, found in points.items()}
    assert counts == {
        "gen_ai.client.operation.duration": 1,
        "gen_ai.client.operation.time_to_first_chunk": 1,
        "gen_ai.client.token.usage": 2,
        "gen_ai.server.request.duration": 2,
        "gen_ai.server.time_to_first_token": 1,
    }
    failed = [point for point in points["gen_ai.server.request.duration"] if "error.type" in point.attributes]
    assert len(failed) == 1


def test_what_is_not_sampled_is_measured_and_not_exported() -> None:
    meters = Meters(ALWAYS_OFF)
    meters.call()
    assert meters.points()["meshslo.call.total"][0].count == 1
    assert meters.exporter.get_finished_spans() == ()


def test_spans_that_are_no_calls_are_not_measured() -> None:
    meters = Meters()
    meters.provider.get_tracer("other").start_span("inner").end()
    assert meters.points() == {}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(min_value=0.001, max_value=3600.0), min_size=1, max_size=40))
def test_no_share_below_an_edge_is_told_too_good_nor_far_too_bad(durations_s: list[float]) -> None:
    meters = Meters()
    for duration_s in durations_s:
        meters.call(duration_s)
    (point,) = meters.points()["meshslo.call.total"]
    told = cumulative(point, STREAM_EDGES_S)
    recorded = [round(duration_s * 1e9) / 1e9 for duration_s in durations_s]
    for edge_s, count in zip(STREAM_EDGES_S, told, strict=True):
        within = sum(value <= edge_s for value in recorded)
        surely = sum(value <= edge_s / 2 ** (2 * 2.0**-ROLLUP_SCALE) for value in recorded)
        assert surely <= count <= within


def test_the_exposition_is_prometheus_text() -> None:
    meters = Meters()
    for duration_s in (0.004, 0.3, 20.0):
        meters.call(duration_s, **{names.TENANT: 'a"b'})
    lines = exposition(meters.reader).splitlines()
    assert "# TYPE meshslo_call_total_seconds histogram" in lines
    told = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    key = r'meshslo_outcome="ok",meshslo_vantage="client",service="gateway",tenant_id="a\"b"'
    buckets = [told[f'meshslo_call_total_seconds_bucket{{{key},le="{edge}"}}'] for edge in ("0.005", "0.5", "15", "30", "+Inf")]
    assert buckets == ["1", "2", "2", "3", "3"]
    assert float(told[f"meshslo_call_total_seconds_sum{{{key}}}"]) == pytest.approx(20.304)
    assert told[f"meshslo_call_total_seconds_count{{{key}}}"] == "3"


def test_the_exposition_is_served() -> None:
    meters = Meters()
    meters.call()
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(metrics_app(meters.reader)({"type": "http"}, None, send))  # type: ignore[arg-type]
    start, body = sent
    assert start["status"] == 200
    assert body["body"].startswith(b"# HELP meshslo_call_total_seconds")
