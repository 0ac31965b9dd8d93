"""OTLP bytes to Arrow arrays, without an object per span: the fields that the span table needs are read, the rest is skipped.

The messages below are OTLP's own, cut down to those fields: same numbers, same types. `ptars` reads them in Rust.
Source: opentelemetry-proto, trace/v1/trace.proto, common/v1/common.proto, resource/v1/resource.proto.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa
from ptars import HandlerPool

from meshslo.telemetry.descriptors import BOOL, BYTES, DOUBLE, FIXED64, INT32, INT64, TEXT, Fields, describe

_MESSAGES: Final[Mapping[str, Fields]] = {
    "Item": (("text", 1, TEXT),),
    "Array": (("values", 1, ["Item"]),),
    "Value": (("text", 1, TEXT), ("truth", 2, BOOL), ("whole", 3, INT64), ("real", 4, DOUBLE), ("array", 5, "Array")),
    "Attribute": (("key", 1, TEXT), ("value", 2, "Value")),
    "Resource": (("attributes", 1, ["Attribute"]),),
    "Scope": (("name", 1, TEXT),),
    "Event": (("time", 1, FIXED64), ("name", 2, TEXT)),
    "Status": (("code", 3, INT32),),
    "Span": (
        ("trace_id", 1, BYTES),
        ("span_id", 2, BYTES),
        ("trace_state", 3, TEXT),
        ("parent_span_id", 4, BYTES),
        ("name", 5, TEXT),
        ("kind", 6, INT32),
        ("start", 7, FIXED64),
        ("end", 8, FIXED64),
        ("attributes", 9, ["Attribute"]),
        ("events", 11, ["Event"]),
        ("status", 15, "Status"),
    ),
    "ScopeSpans": (("scope", 1, "Scope"), ("spans", 2, ["Span"])),
    "ResourceSpans": (("resource", 1, "Resource"), ("scopes", 2, ["ScopeSpans"])),
    "Request": (("resources", 1, ["ResourceSpans"]),),
}
_REQUEST: Final = describe("meshslo.otlp", _MESSAGES, "Request", choices=["Value"])
_HANDLER: Final = HandlerPool([_REQUEST.file]).get_for_message(_REQUEST)


def read_resources(payloads: Sequence[bytes]) -> pa.StructArray:
    """The ResourceSpans of all `payloads`, end to end, as nested Arrow arrays; ValueError where one is no such message."""
    return _HANDLER.list_to_record_batch(list(payloads)).column(0).flatten()
