"""OTLP/JSON documents to the span table without a message in between: three times as fast for the files people have.

Says the same as `otlp_json` and the protobuf decoder, which a test holds to; reads the spelling that exporters write
(lowerCamelCase; the other one goes through `otlp_json`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import polars as pl

from meshslo.telemetry.errors import BadInputError

from .decode import decode_request
from .faults import LATEST_NS, fault
from .otlp_json import id_bytes, request_of, resource_spans_of
from .spans import (
    COMPLETE_EVENTS,
    FAILED,
    FIXED,
    HEADERS_EVENT,
    RESOURCE_SLOTS,
    SPAN_SLOTS,
    TOKEN_EVENT,
    Rejection,
    assemble,
)

_KINDS: Final = {
    f"SPAN_KIND_{name}": number
    for number, name in enumerate(("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"))
}
_STATUSES: Final = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
_SILENT: Final = (None, "", "-")
_NO_SPAN: Final = bytes(8)

Attributes = list[tuple[int, str]]


class _Identity(NamedTuple):
    """What `faults.fault` looks at."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    start_time_unix_nano: int
    end_time_unix_nano: int


@dataclass
class JsonSpans:
    """Collects the spans of documents; one that is broken adds nothing."""

    fixed: list[tuple[Any, ...]] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    others: list[pl.DataFrame] = field(default_factory=list)

    @property
    def height(self) -> int:
        """How many spans have been collected."""
        return len(self.fixed) + sum(frame.height for frame in self.others)

    def add(self, document: object) -> tuple[int, tuple[Rejection, ...]]:
        """Take the spans of a parsed document: how many, and which were rejected. BadInputError where it is no OTLP/JSON."""
        if isinstance(document, dict) and "resource_spans" in document:
            return self._other(document)
        lengths = len(self.fixed), len(self.rows)
        rejected: Counter[str] = Counter()
        try:
            for resource_spans in resource_spans_of(document):
                self._resource(resource_spans, rejected)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self._forget(*lengths)
            raise BadInputError(f"not OTLP/JSON: {error}") from error
        return len(self.fixed) - lengths[0], _rejections(rejected)

    def spans(self) -> pl.DataFrame:
        """The span table of all that was collected."""
        fixed = pl.DataFrame(self.fixed, schema=FIXED, orient="row")
        return pl.concat([assemble(fixed, self.rows, self.slots, self.values), *self.others])

    def _other(self, document: object) -> tuple[int, tuple[Rejection, ...]]:
        decoded = decode_request(request_of(document))
        self.others.append(decoded.spans)
        return decoded.spans.height, decoded.rejected

    def _forget(self, spans: int, attributes: int) -> None:
        del self.fixed[spans:]
        for column in (self.rows, self.slots, self.values):
            del column[attributes:]

    def _resource(self, resource_spans: Mapping[str, Any], rejected: Counter[str]) -> None:
        resource = resource_spans.get("resource") or {}
        inherited = list(_wanted(resource.get("attributes"), RESOURCE_SLOTS))
        for scope_spans in resource_spans.get("scopeSpans") or resource_spans.get("instrumentationLibrarySpans") or ():
            scope = (scope_spans.get("scope") or {}).get("name") or None
            for span in scope_spans.get("spans") or ():
                identity = _identity(span)
                if reason := fault(identity):
                    rejected[reason] += 1
                else:
                    self._span(span, identity, scope, inherited)

    def _span(self, span: Mapping[str, Any], identity: _Identity, scope: str | None, inherited: Attributes) -> None:
        row = len(self.fixed)
        attributes = inherited + list(_wanted(span.get("attributes"), SPAN_SLOTS))
        self.fixed.append(_fixed(span, identity, scope))
        self.rows.extend([row] * len(attributes))
        self.slots.extend([slot for slot, _ in attributes])
        self.values.extend([value for _, value in attributes])


def _rejections(counts: Mapping[str, int]) -> tuple[Rejection, ...]:
    return tuple(Rejection(reason, count) for reason, count in sorted(counts.items()))


def _identity(span: Mapping[str, Any]) -> _Identity:
    parent = span.get("parentSpanId")
    return _Identity(
        id_bytes(span.get("traceId") or "", 16),
        id_bytes(span.get("spanId") or "", 8),
        id_bytes(parent, 8) if parent else b"",
        _unsigned(span.get("startTimeUnixNano") or 0),
        _unsigned(span.get("endTimeUnixNano") or 0),
    )


def _unsigned(value: object) -> int:
    """A time in nanoseconds, which OTLP/JSON writes as text or number."""
    number = int(value) if isinstance(value, str | int) else int(_whole(value))
    if not 0 <= number < 2**64:
        raise ValueError(f"{value!r} is no time in nanoseconds")
    return number


def _whole(value: object) -> float:
    if not isinstance(value, float) or not value.is_integer():
        raise TypeError(f"{value!r} is no whole number")
    return value


def _fixed(span: Mapping[str, Any], identity: _Identity, scope: str | None) -> tuple[Any, ...]:
    parent = identity.parent_span_id
    kind = _enum(span.get("kind", 0), _KINDS)
    return (
        identity.trace_id,
        identity.span_id,
        parent if parent and parent != _NO_SPAN else None,
        kind if 0 <= kind <= 5 else 0,
        _string(span.get("name", "")),
        identity.start_time_unix_nano,
        identity.end_time_unix_nano,
        _string(span.get("traceState", "")) or None,
        status if 0 <= (status := _enum((span.get("status") or {}).get("code", 0), _STATUSES)) <= FAILED else 0,
        scope,
        *_event_times(span.get("events") or (), kind),
    )


def _enum(value: object, names: Mapping[str, int]) -> int:
    if isinstance(value, str):
        # A name of a later version is unknown, which is 0.
        return int(value) if value.lstrip("-").isdigit() else names.get(value, 0)
    return int(value) if isinstance(value, int) else int(_whole(value))


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _event_times(events: Iterable[Mapping[str, Any]], kind: int) -> tuple[int | None, ...]:
    """Times of the headers, first-token and completion events, the first listed of each."""
    times: dict[str, int] = {}
    for event in events:
        at = _unsigned(event.get("timeUnixNano") or 0)
        if at <= LATEST_NS:
            times.setdefault(event.get("name", ""), at)
    complete = COMPLETE_EVENTS.get(kind)
    return times.get(HEADERS_EVENT), times.get(TOKEN_EVENT), times.get(complete) if complete else None


def _wanted(attributes: Iterable[Mapping[str, Any]] | None, slots: Mapping[str, int]) -> Iterator[tuple[int, str]]:
    """(slot, text) of the attributes that have a slot and say something."""
    for attribute in attributes or ():
        slot = slots.get(attribute["key"])
        if slot is not None and (text := _text(attribute.get("value") or {})) not in _SILENT:
            yield slot, text


def _text(value: Mapping[str, Any]) -> str:
    """An attribute value as text; of an array its first item, where that is a text; anything nested deeper is nothing."""
    for name, content in value.items():
        if name == "stringValue":
            return _string(content)
        if name == "intValue":
            return str(int(content))
        if name == "doubleValue":
            return repr(float(content))
        if name == "boolValue":
            return "true" if content is True else "false"
        if name == "arrayValue":
            items: list[Mapping[str, Any]] = content.get("values") or [{}]
            return _string(items[0].get("stringValue", ""))
    return ""
