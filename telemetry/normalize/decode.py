"""OTLP bytes to the span table; what cannot be a span is counted with its reason, its neighbours are kept."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from meshslo.telemetry.errors import BadInputError

from .spans import (
    COMPLETE_EVENTS,
    FAILED,
    FIXED,
    HEADERS_EVENT,
    RESOURCE_SLOTS,
    SPAN_SLOTS,
    TOKEN_EVENT,
    Decoded,
    Rejection,
    assemble,
)

_LATEST_NS: Final = 2**63 - 1
_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)


def decode_traces(payload: bytes) -> Decoded:
    """The span table of a serialized ExportTraceServiceRequest.

    Raises BadInputError when the bytes are no such message.
    """
    return decode_request(parse_request(payload))


def parse_request(payload: bytes) -> Any:
    """The ExportTraceServiceRequest in `payload`; BadInputError when there is none."""
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(payload)
    except DecodeError as error:
        raise BadInputError(
            f"{len(payload)} bytes are no OTLP trace export ({error}); expected a serialized ExportTraceServiceRequest"
        ) from error
    return request


def decode_request(request: Any) -> Decoded:
    """The span table of a parsed ExportTraceServiceRequest."""
    reading = _Reading()
    for resource_spans in request.resource_spans:
        inherited = list(_wanted(resource_spans.resource.attributes, RESOURCE_SLOTS))
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                reading.add(span, scope_spans.scope.name, inherited)
    return reading.decoded()


@dataclass
class _Reading:
    """What has been read so far: fixed columns by row, attributes in long form, rejections."""

    fixed: list[tuple[Any, ...]] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)

    def add(self, span: Any, scope: str, inherited: list[tuple[int, str]]) -> None:
        """Take `span`, or count why not."""
        if reason := fault(span):
            self.rejected[reason] += 1
            return
        row = len(self.fixed)
        self.fixed.append(_fixed(span, scope))
        for slot, value in (*inherited, *_wanted(span.attributes, SPAN_SLOTS)):
            self.rows.append(row)
            self.slots.append(slot)
            self.values.append(value)

    def decoded(self) -> Decoded:
        """The table of everything taken."""
        fixed = pl.DataFrame(self.fixed, schema=FIXED, orient="row")
        rejected = tuple(Rejection(reason, count) for reason, count in sorted(self.rejected.items()))
        return Decoded(assemble(fixed, self.rows, self.slots, self.values), rejected)


def fault(span: Any) -> str | None:
    """Why `span` cannot be taken, or None."""
    if len(span.trace_id) != 16 or len(span.span_id) != 8:
        return "trace_id must be 16 bytes and span_id 8"
    if span.trace_id == _NO_TRACE or span.span_id == _NO_SPAN:
        return "trace_id or span_id is all zero"
    if len(span.parent_span_id) not in (0, 8):
        return "parent_span_id must be 8 bytes or absent"
    if not span.start_time_unix_nano:
        return "start_time_unix_nano is missing"
    if not span.end_time_unix_nano:
        return "end_time_unix_nano is missing"
    if span.end_time_unix_nano < span.start_time_unix_nano:
        return "end_time_unix_nano is before start_time_unix_nano"
    return "end_time_unix_nano is beyond the year 2262" if span.end_time_unix_nano > _LATEST_NS else None


def _fixed(span: Any, scope: str) -> tuple[Any, ...]:
    parent = span.parent_span_id
    return (
        span.trace_id,
        span.span_id,
        parent if parent and parent != _NO_SPAN else None,
        span.kind if 0 <= span.kind <= 5 else 0,
        span.name,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.trace_state or None,
        span.status.code if 0 <= span.status.code <= FAILED else 0,
        scope or None,
        *_event_times(span),
    )


def _event_times(span: Any) -> tuple[int | None, ...]:
    """Times of the headers, first-token and completion events, the earliest of each."""
    if not span.events:
        return None, None, None
    times: dict[str, int] = {}
    for event in span.events:
        if event.time_unix_nano <= _LATEST_NS:
            times.setdefault(event.name, event.time_unix_nano)
    complete = COMPLETE_EVENTS.get(span.kind)
    return times.get(HEADERS_EVENT), times.get(TOKEN_EVENT), times.get(complete) if complete else None


def _wanted(attributes: Iterable[Any], slots: dict[str, int]) -> Iterator[tuple[int, str]]:
    """(slot, text) of the attributes that have a slot and say something."""
    for attribute in attributes:
        slot = slots.get(attribute.key)
        if slot is not None and (text := _text(attribute.value)) not in ("", "-"):
            yield slot, text


def _text(value: Any) -> str:
    """An attribute value as text; of an array its first item; anything nested deeper is nothing."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return str(value.string_value)
    if kind in ("int_value", "double_value"):
        return repr(getattr(value, kind))
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "array_value" and value.array_value.values:
        first = value.array_value.values[0]
        return str(first.string_value)
    return ""
