"""OTLP bytes to Arrow arrays, without an object per span: the fields that the span table needs are read, the rest is skipped.

The messages below are OTLP's own, cut down to those fields: same numbers, same types. `ptars` reads them in Rust. Attributes
are left as bytes at first: the same few occur in most spans, so that each distinct one is read once.
Source: opentelemetry-proto, trace/v1/trace.proto, common/v1/common.proto, resource/v1/resource.proto.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ptars import HandlerPool

from meshslo.telemetry.descriptors import BOOL, BYTES, DOUBLE, FIXED64, INT32, INT64, TEXT, Fields, describe

_ATTRIBUTES: Final[Mapping[str, Fields]] = {
    "Item": (("text", 1, TEXT),),
    "Array": (("values", 1, ["Item"]),),
    "Value": (("text", 1, TEXT), ("truth", 2, BOOL), ("whole", 3, INT64), ("real", 4, DOUBLE), ("array", 5, "Array")),
    "Attribute": (("key", 1, TEXT), ("value", 2, "Value")),
    "Attributes": (("attributes", 1, ["Attribute"]),),
}
_REQUEST: Final[Mapping[str, Fields]] = {
    "Resource": (("attributes", 1, [BYTES]),),
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
        ("attributes", 9, [BYTES]),
        ("events", 11, ["Event"]),
        ("status", 15, "Status"),
    ),
    "ScopeSpans": (("scope", 1, "Scope"), ("spans", 2, ["Span"])),
    "ResourceSpans": (("resource", 1, "Resource"), ("scopes", 2, ["ScopeSpans"])),
    "Request": (("resources", 1, ["ResourceSpans"]),),
}
_REQUEST_TYPE: Final = describe("meshslo.otlp", _REQUEST, "Request")
_ATTRIBUTES_TYPE: Final = describe("meshslo.attributes", _ATTRIBUTES, "Attributes", choices=["Value"])
_REQUESTS: Final = HandlerPool([_REQUEST_TYPE.file]).get_for_message(_REQUEST_TYPE)
_LISTS: Final = HandlerPool([_ATTRIBUTES_TYPE.file]).get_for_message(_ATTRIBUTES_TYPE)
_LISTED: Final = b"\x0a"
"""The tag of an element of `Attributes`: field 1, its size follows."""


def read_resources(payloads: Sequence[bytes]) -> pa.StructArray:
    """The ResourceSpans of all `payloads`, end to end, as nested Arrow arrays; ValueError where one is no such message.

    Attributes are bytes, for `read_attributes`.
    """
    return _REQUESTS.list_to_record_batch(list(payloads)).column(0).flatten()


def read_attributes(attributes: pa.BinaryArray) -> pa.StructArray:
    """Key and value of each of `attributes` (KeyValue messages); ValueError where one is none."""
    if not len(attributes):
        return _LISTS.list_to_record_batch([b""]).column(0).flatten()
    # One message that lists them all is read many times as fast as a message each.
    sizes = pc.binary_length(attributes)
    distinct = sizes.unique()
    marks = _binary([_LISTED + _varint(size) for size in distinct.to_pylist()]).take(pc.index_in(sizes, value_set=distinct))
    message = pc.binary_join_element_wise(marks, attributes, b"").buffers()[2]
    return _LISTS.list_to_record_batch([message.to_pybytes()]).column(0).flatten()


def _binary(values: Sequence[bytes]) -> pa.BinaryArray:
    # Not pa.array: it imports pandas, where there is one, for all it might be given.
    ends = np.cumsum([0, *map(len, values)], dtype=np.int32)
    return pa.Array.from_buffers(pa.binary(), len(values), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(values))])


def _varint(number: int) -> bytes:
    """`number` in base 128, the lowest digit first, all but the last marked. Source: Protocol Buffers, Encoding."""
    digits = []
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])
