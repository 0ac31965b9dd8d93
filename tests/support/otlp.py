"""Builders of OTLP batches as exporters send them: a test states only what it is about."""

from collections.abc import Iterable
from itertools import count
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.calls import EPOCH

START_NS = int(EPOCH.timestamp()) * 10**9
SERVER = 2
_ids = count(1)


def make_span(number: int | None = None, **fields: Any) -> Span:
    """A SERVER span of 1 s that starts at EPOCH (+ `at_s`), the only one of its trace unless `trace` says otherwise."""
    number = next(_ids) if number is None else number
    start_ns = START_NS + int(fields.pop("at_s", 0) * 10**9)
    trace = fields.pop("trace", number)
    span = {
        "trace_id": trace.to_bytes(16, "big"),
        "span_id": number.to_bytes(8, "big"),
        "name": "GET /",
        "kind": SERVER,
        "start_time_unix_nano": start_ns,
        "end_time_unix_nano": start_ns + 10**9,
    }
    return Span(**{**span, **fields})


def make_request(spans: Iterable[Span], service: str = "generator") -> ExportTraceServiceRequest:
    """One export of `spans` by `service`."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = service
    resource_spans.scope_spans.add(spans=spans).scope.name = "test"
    return request


def make_batch(spans: Iterable[Span] | int = 1, service: str = "generator") -> bytes:
    """The same as bytes; a number stands for that many fresh spans."""
    return make_request([make_span() for _ in range(spans)] if isinstance(spans, int) else spans, service).SerializeToString()
