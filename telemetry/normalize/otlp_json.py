"""OTLP/JSON to the protobuf message, with the wrappers that Tempo and Jaeger put around it.

OTLP/JSON writes ids in hex and enums as numbers; Tempo and jsonpb write base64 and names. Both are read: an id's length tells.
"""

import base64
import binascii
from typing import Any, Final

import msgspec
from google.protobuf.json_format import ParseDict, ParseError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from meshslo.telemetry.errors import BadInputError

from .decode import decode_request
from .json_wire import UnusualError, request_bytes
from .spans import Decoded

_ID_BYTES: Final = {"traceId": 16, "spanId": 8, "parentSpanId": 8, "trace_id": 16, "span_id": 8, "parent_span_id": 8}
_NO_ID: Final = b"?"
"""Stands for an id that is neither hex nor base64: of no valid length, so the span is turned away with that reason."""


def decode_traces_json(payload: bytes | str) -> Decoded:
    """The span table of OTLP/JSON traces, Tempo's and Jaeger's dialects included; BadInputError when it is none."""
    return decode_request(json_request(payload))


def traces_json_to_protobuf(payload: bytes | str) -> bytes:
    """OTLP/JSON traces as a serialized ExportTraceServiceRequest; BadInputError when they are none."""
    try:
        return request_bytes(payload)
    except UnusualError:
        return bytes(json_request(payload).SerializeToString())


def json_request(payload: bytes | str) -> Any:
    """The ExportTraceServiceRequest that OTLP/JSON states; BadInputError when it states none."""
    try:
        document = msgspec.json.decode(payload)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"no JSON ({error}); expected OTLP/JSON with resourceSpans") from error
    return request_of(document)


def request_of(document: object) -> Any:
    """The ExportTraceServiceRequest that a parsed OTLP/JSON document states; BadInputError when it states none."""
    resource_spans = [_with_binary_ids(item) for item in resource_spans_of(document)]
    try:
        return ParseDict({"resourceSpans": resource_spans}, ExportTraceServiceRequest(), ignore_unknown_fields=True)
    except (ParseError, RecursionError) as error:
        raise BadInputError(f"not OTLP/JSON: {error}") from error


def resource_spans_of(document: object) -> list[Any]:
    """The list of resource spans inside `document`, whatever wraps it."""
    if document == {}:
        return []
    for wrapper in ("result", "trace"):
        if isinstance(document, dict) and isinstance(document.get(wrapper), dict):
            document = document[wrapper]
    if isinstance(document, dict):
        for name in ("resourceSpans", "resource_spans", "batches"):
            if isinstance(found := document.get(name), list):
                return found
    raise BadInputError('not OTLP/JSON traces: expected {"resourceSpans": [...]} (or "batches", as Tempo writes it)')


def _with_binary_ids(resource_spans: Any) -> Any:
    """A resource's spans with every id as base64, which is what the protobuf JSON mapping reads."""
    if not isinstance(resource_spans, dict):
        raise BadInputError("not OTLP/JSON: each of resourceSpans must be an object")
    scopes: list[dict[str, Any]] = next((resource_spans[name] for name in _SCOPE_LISTS if resource_spans.get(name)), [])
    try:
        converted = [{**scope, "spans": [_span(span) for span in scope.get("spans") or []]} for scope in scopes]
    except (TypeError, AttributeError) as error:
        raise BadInputError("not OTLP/JSON: scopeSpans and spans must be lists of objects") from error
    kept = {name: value for name, value in resource_spans.items() if name not in _SCOPE_LISTS}
    return {**kept, "scopeSpans": converted}


_SCOPE_LISTS: Final = ("scopeSpans", "scope_spans", "instrumentationLibrarySpans")


def _span(span: dict[str, Any]) -> dict[str, Any]:
    ids = {name: base64.b64encode(id_bytes(span[name], size)).decode() for name, size in _ID_BYTES.items() if span.get(name)}
    return {**{name: value for name, value in span.items() if name != "links"}, **ids}


def id_bytes(text: object, size: int) -> bytes:
    """The id in `text`: hex where it has 2 digits a byte, else base64; of another length than `size` where it is neither.

    >>> id_bytes("00000000000000c1", 8).hex(), id_bytes("Sc130fnc2TY=", 8).hex()
    ('00000000000000c1', '49cd77d1f9dcd936')
    """
    if not isinstance(text, str):
        return _NO_ID
    try:
        return bytes.fromhex(text) if len(text) == 2 * size else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return _NO_ID
