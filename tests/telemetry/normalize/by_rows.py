"""The span table read a span at a time: the slow, plain form that the decoder must agree with."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from meshslo.telemetry.normalize.decode import parse_request
from meshslo.telemetry.normalize.faults import LATEST_NS, fault
from meshslo.telemetry.normalize.spans import (
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


def decode_by_rows(payload: bytes) -> Decoded:
    """What `decode_traces` promises, read span by span."""
    reading = _Reading()
    for resource_spans in parse_request(payload).resource_spans:
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


def _fixed(span: Any, scope: str) -> tuple[Any, ...]:
    parent = span.parent_span_id
    return (
        span.trace_id,
        span.span_id,
        parent if parent and parent != bytes(8) else None,
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
        if event.time_unix_nano <= LATEST_NS:
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
        return pl.Series([getattr(value, kind)]).cast(pl.String)[0]
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "array_value" and value.array_value.values:
        first = value.array_value.values[0]
        return str(first.string_value)
    return ""
