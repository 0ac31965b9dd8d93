"""Spans as the OpenTelemetry Collector's ClickHouse exporter writes them, in the embedded engine."""

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SCHEMA = """
CREATE TABLE {table} (
    Timestamp DateTime64(9), TraceId String, SpanId String, ParentSpanId String, TraceState String,
    SpanName LowCardinality(String), SpanKind LowCardinality(String), ServiceName LowCardinality(String),
    ResourceAttributes Map(LowCardinality(String), String), ScopeName String, ScopeVersion String,
    SpanAttributes Map(LowCardinality(String), String), Duration UInt64,
    StatusCode LowCardinality(String), StatusMessage String,
    Events Nested(Timestamp DateTime64(9), Name LowCardinality(String), Attributes Map(LowCardinality(String), String)),
    Links Nested(TraceId String, SpanId String, TraceState String, Attributes Map(LowCardinality(String), String))
) ENGINE = MergeTree PARTITION BY toDate(Timestamp) ORDER BY (ServiceName, SpanName, toDateTime(Timestamp))
"""
"""The exporter's own table, without codecs, indexes and TTL."""

KINDS = {
    "new": ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"),
    "old": tuple(f"SPAN_KIND_{kind}" for kind in ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")),
}
STATUSES = {"new": ("Unset", "Ok", "Error"), "old": ("STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR")}
COLUMNS = (
    "Timestamp",
    "TraceId",
    "SpanId",
    "ParentSpanId",
    "TraceState",
    "SpanName",
    "SpanKind",
    "ServiceName",
    "ResourceAttributes",
    "ScopeName",
    "SpanAttributes",
    "Duration",
    "StatusCode",
    "Events.Timestamp",
    "Events.Name",
    "Events.Attributes",
)


def create(client: Any, table: str) -> None:
    """Make `table` anew."""
    client.command(f"DROP TABLE IF EXISTS {table}")
    client.command(SCHEMA.format(table=table))


def insert(client: Any, table: str, requests: Iterable[ExportTraceServiceRequest], spelling: str = "new") -> None:
    """Put the spans of OTLP requests into `table`."""
    rows = [row for request in requests for row in _rows(request, spelling)]
    client.insert(table, rows, column_names=COLUMNS)


def _rows(request: ExportTraceServiceRequest, spelling: str) -> Iterator[list[Any]]:
    for resource_spans in request.resource_spans:
        resource = _map(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield [
                    span.start_time_unix_nano,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.trace_state,
                    span.name,
                    KINDS[spelling][span.kind],
                    resource.get("service.name", ""),
                    resource,
                    scope_spans.scope.name,
                    _map(span.attributes),
                    span.end_time_unix_nano - span.start_time_unix_nano,
                    STATUSES[spelling][span.status.code],
                    [event.time_unix_nano for event in span.events],
                    [event.name for event in span.events],
                    [_map(event.attributes) for event in span.events],
                ]


def _map(attributes: Any) -> dict[str, str]:
    return {attribute.key: _text(attribute.value) for attribute in attributes}


def _text(value: Any) -> str:
    """A value as the exporter prints it: arrays and maps as JSON, bytes as base64."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return str(value.string_value)
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind in ("int_value", "double_value"):
        return repr(getattr(value, kind))
    if kind == "array_value":
        return json.dumps([_plain(item) for item in value.array_value.values])
    return base64.b64encode(value.bytes_value).decode() if kind == "bytes_value" else ""


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind in ("string_value", "int_value", "double_value", "bool_value") else _text(value)
