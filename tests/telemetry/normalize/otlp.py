"""Builders of OTLP spans: a test states only what it is about."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from meshslo.telemetry.normalize import SPANS, Normalized, decode_traces, decode_traces_json, normalize

ENVOY = Path(__file__).parents[1] / "fixtures" / "envoy"
START_NS = 1_793_610_000_000_000_000
INTERNAL, SERVER, CLIENT = 1, 2, 3


@dataclass(frozen=True)
class Spec:
    """A span by its names: `number` and `parent` are small, times are seconds from START_NS."""

    number: int
    service: str | None
    kind: int
    parent: int | None = None
    at_s: float = 0.0
    duration_s: float = 1.0
    attributes: dict[str, Any] = field(default_factory=dict)
    resource: dict[str, Any] = field(default_factory=dict)
    events: dict[str, float] = field(default_factory=dict)
    scope: str = "meshslo"
    name: str = "span"
    trace: int = 1
    trace_state: str = ""
    failed: bool = False


def spec(number: int, service: str | None, kind: int, parent: int | None = None, **rest: Any) -> Spec:
    """A span of `service`; `parent=None` is a root."""
    return Spec(number, service, kind, parent, **rest)


def envoy(number: int, service: str | None, kind: int, parent: int | None = None, **rest: Any) -> Spec:
    """A span as Envoy makes it: marked as a proxy's, attempts named after their cluster, every attribute a string."""
    given = rest.pop("attributes", {})
    attributes = {"component": "proxy", "upstream_cluster.name": service, "http.status_code": "200", "response_flags": "-"}
    name = f"router {service} egress" if kind == CLIENT else "ingress"
    return Spec(number, service, kind, parent, attributes={**attributes, **given}, scope="envoy", name=name, **rest)


def export(*specs: Spec) -> ExportTraceServiceRequest:
    """The specs as one request, a resource each."""
    request = ExportTraceServiceRequest()
    for item in specs:
        resource_spans = request.resource_spans.add()
        service = {"service.name": item.service} if item.service else {}
        resource_spans.resource.attributes.extend(_attributes({**service, **item.resource}))
        scope_spans = resource_spans.scope_spans.add()
        scope_spans.scope.name = item.scope
        scope_spans.spans.append(_span(item))
    return request


def _span(item: Spec) -> Span:
    start_ns = START_NS + round(item.at_s * 1e9)
    return Span(
        trace_id=item.trace.to_bytes(16, "big"),
        span_id=item.number.to_bytes(8, "big"),
        parent_span_id=item.parent.to_bytes(8, "big") if item.parent else b"",
        kind=item.kind,
        name=item.name,
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + round(item.duration_s * 1e9),
        trace_state=item.trace_state,
        attributes=_attributes(item.attributes),
        events=[Span.Event(name=name, time_unix_nano=start_ns + round(at_s * 1e9)) for name, at_s in item.events.items()],
        status={"code": 2 if item.failed else 0},
    )


def _attributes(values: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in values.items()]


def _value(value: Any) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=value)


def normalized(*specs: Spec) -> Normalized:
    """The specs through the bytes of OTLP, decoded and normalized."""
    return normalize(spans_of(*specs))


def spans_of(*specs: Spec) -> pl.DataFrame:
    """The span table of the specs, through the bytes of OTLP."""
    return decode_traces(export(*specs).SerializeToString()).spans


def calls_of(*specs: Spec) -> dict[int, dict[str, Any]]:
    """The call rows of the specs by span id."""
    return rows_of(normalized(*specs).calls)


def rows_of(calls: pl.DataFrame) -> dict[int, dict[str, Any]]:
    """Call rows by the number their span id is."""
    return {int.from_bytes(row["span_id"], "big"): row for row in calls.to_dicts()}


def recorded(name: str) -> Normalized:
    """The spans that a real Envoy exported in the scenario `name`, normalized together."""
    lines = (ENVOY / f"{name}.jsonl").read_text().splitlines()
    return normalize(pl.concat([pl.DataFrame(schema=SPANS), *(decode_traces_json(line).spans for line in lines)]))
