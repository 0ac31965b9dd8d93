"""Jaeger's own JSON (query API before 2.21, exports of its user interface) as OTLP/JSON, which the decoder reads.

Jaeger counts in microseconds, drops leading zeros of ids and knows span kinds only as a tag. Where the tag is missing (clients
of OpenTracing's time), a span whose parent ran in another process served a call, and its parent made one.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from meshslo.telemetry.errors import BadInputError

KINDS: Final[Mapping[str, int]] = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_STATUSES: Final = {"OK": 1, "ERROR": 2}
_VALUES: Final = {"string": "stringValue", "bool": "boolValue", "int64": "intValue", "float64": "doubleValue"}
_SCOPE_NAMES: Final = ("otel.scope.name", "otel.library.name")

Json = dict[str, Any]


def otlp_of_jaeger(document: object) -> Json:
    """`{"resourceSpans": [...]}` of `{"data": [trace, ...]}`, of one trace as `data`, or of a bare trace.

    Where a trace names a probabilistic or constant sampler, its spans get the matching `ot=th:` threshold, so that their
    weight is known. BadInputError names what is missing.
    """
    return {"resourceSpans": [resource for trace in _traces(document) for resource in _resource_spans(trace)]}


def _traces(document: object) -> list[Json]:
    data = document.get("data", document) if isinstance(document, dict) else document
    if isinstance(data, dict):
        data = [data]
    if not isinstance(data, list) or not all(isinstance(trace, dict) and "spans" in trace for trace in data):
        raise BadInputError('no Jaeger JSON: expected {"data": [{"traceID": ..., "spans": [...], "processes": {...}}]}')
    return data


def _resource_spans(trace: Json) -> Iterator[Json]:
    """One resource a span: a process is small, and grouping is the decoder's business."""
    spans = trace["spans"]
    try:
        kinds, state = _kinds(spans, trace), _trace_state(spans)
        for span in spans:
            yield {
                "resource": {"attributes": _process_attributes(_process(span, trace))},
                "scopeSpans": [{"scope": {"name": _scope(span)}, "spans": [_span(span, kinds[span["spanID"]], state)]}],
            }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadInputError(f"no Jaeger JSON: a span of trace {trace.get('traceID')} lacks or misspells {error}") from error


def _span(span: Json, kind: int, state: str) -> Json:
    tags = _tags(span)
    start_ns = int(span["startTime"]) * 1000
    return {
        "traceId": str(span["traceID"]).rjust(32, "0"),
        "spanId": str(span["spanID"]).rjust(16, "0"),
        "parentSpanId": parent.rjust(16, "0") if (parent := _parent(span)) else "",
        "traceState": tags.get("w3c.tracestate") or state,
        "name": span.get("operationName", ""),
        "kind": kind,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(start_ns + int(span["duration"]) * 1000),
        "status": {"code": _status(tags)},
        "attributes": _attributes(span.get("tags") or ()),
        "events": [_event(log) for log in span.get("logs") or ()],
    }


def _parent(span: Json) -> str | None:
    """The parent inside the trace: the first CHILD_OF, else the first FOLLOWS_FROM; old servers have `parentSpanID`."""
    inside = [ref for ref in span.get("references") or () if ref["traceID"] == span["traceID"]]
    inside.sort(key=lambda ref: ref["refType"] != "CHILD_OF")
    return inside[0]["spanID"] if inside else span.get("parentSpanID")


def _kinds(spans: Iterable[Json], trace: Json) -> dict[str, int]:
    """Kind of each span by its id, from its tag or else from where its parent and children ran."""
    services = {span["spanID"]: _process(span, trace).get("serviceName") for span in spans}
    served = {
        span["spanID"] for span in spans if services.get(_parent(span), services[span["spanID"]]) != services[span["spanID"]]
    }
    calling = {_parent(span) for span in spans if span["spanID"] in served}
    return {
        span["spanID"]: KINDS.get(str(_tags(span).get("span.kind", "")).lower())
        or _guess(root=_parent(span) is None, served=span["spanID"] in served, calling=span["spanID"] in calling)
        for span in spans
    }


def _guess(*, root: bool, served: bool, calling: bool) -> int:
    """The kind of a span without a tag; a span that both served and called directly is known by what it served."""
    if served:
        return KINDS["server"]
    if calling:
        return KINDS["client"]
    return KINDS["server"] if root else KINDS["internal"]


def _trace_state(spans: Iterable[Json]) -> str:
    """`ot=th:...` for the sampling probability that the trace's root states, or nothing.

    Source: OpenTelemetry tracestate handling: the threshold is the rejected share of 2**56 as hex, trailing zeros dropped.
    A rate-limiting sampler's parameter is no probability.
    """
    for tags in map(_tags, spans):
        kind, parameter = tags.get("sampler.type"), tags.get("sampler.param")
        if kind == "const" and parameter in (True, 1, "true"):
            return "ot=th:0"
        if kind == "probabilistic" and isinstance(parameter, int | float) and 0 < parameter <= 1:
            threshold = min(round((1 - parameter) * 2**56), 2**56 - 1)
            return f"ot=th:{f'{threshold:014x}'.rstrip('0') or '0'}"
    return ""


def _status(tags: Mapping[str, Any]) -> int:
    if tags.get("error") in (True, "true"):
        return _STATUSES["ERROR"]
    return _STATUSES.get(str(tags.get("otel.status_code", "")), 0)


def _scope(span: Json) -> str:
    tags = _tags(span)
    return next((str(tags[name]) for name in _SCOPE_NAMES if name in tags), "")


def _process(span: Json, trace: Json) -> Json:
    """Where the span ran: inlined by exports of the user interface, else by its id."""
    found = span.get("process") or (trace.get("processes") or {})[span["processID"]]
    return dict(found)


def _process_attributes(process: Json) -> list[Json]:
    name = {"key": "service.name", "value": {"stringValue": process["serviceName"]}}
    return [name, *_attributes(process.get("tags") or ())]


def _event(log: Json) -> Json:
    """A log entry; its name is what OpenTelemetry or OpenTracing put into `event` or `message`."""
    fields = {item["key"]: item.get("value") for item in log.get("fields") or ()}
    return {"timeUnixNano": str(int(log["timestamp"]) * 1000), "name": str(fields.get("event") or fields.get("message") or "")}


def _tags(span: Json) -> dict[str, Any]:
    return {tag["key"]: tag.get("value") for tag in span.get("tags") or ()}


def _attributes(tags: Iterable[Json]) -> list[Json]:
    """OTLP attributes of Jaeger tags; binary ones are left out, no column of a call is binary."""
    return [{"key": tag["key"], "value": value} for tag in tags if (value := _value(tag)) is not None]


def _value(tag: Json) -> Json | None:
    value = tag.get("value")
    name = _VALUES.get(str(tag.get("type", "string")).lower())
    if name is None or value is None:
        return None
    if name == "boolValue":
        return {name: value in (True, "true")}
    return {name: float(value) if name == "doubleValue" else str(value)}
