"""OTLP/JSON traces straight to protobuf bytes: the fields that every span has are written here, the rest by protobuf itself.

Protobuf's own mapping makes an object of each value: 6,000 spans a second. Whatever is not spelled as exporters spell it is
left to that mapping (`otlp_json`): the fields of a span that are rare, and whole documents in which something is of another
type than it should be, since it alone decides what is an error. A test holds both to the same messages.
Source: protobuf.dev, encoding; opentelemetry-proto, trace/v1/trace.proto, common/v1/common.proto.
"""

import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec
from google.protobuf.json_format import ParseDict, ParseError
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

_FIXED64: Final = struct.Struct("<Q")
_DOUBLE: Final = struct.Struct("<d")
_UINT64: Final = 2**64
_INT64: Final = 2**63
_WRITTEN: Final = frozenset(
    {"traceId", "spanId", "parentSpanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes"}
)
_LEFT_OUT: Final = frozenset({"links"})

_TRACE_ID, _SPAN_ID, _PARENT_ID, _NAME, _KIND, _START, _END, _ATTRIBUTES = (
    *(b"\x0a", b"\x12", b"\x22", b"\x2a"),
    *(b"\x30", b"\x39", b"\x41", b"\x4a"),
)
"""Tags of a span's fields: number << 3, and the wire type (0 varint, 1 eight bytes, 2 length and bytes)."""


class UnusualError(ValueError):
    """A document that is not as exporters write it; protobuf's own mapping must judge it."""


def request_bytes(payload: bytes | str) -> bytes:
    """The serialized ExportTraceServiceRequest that OTLP/JSON states; UnusualError where that is not for this to say."""
    try:
        document = msgspec.json.decode(payload)
        if "resourceSpans" not in document:
            raise UnusualError("no resourceSpans")
        return b"".join(_framed(b"\x0a", _resource(resource)) for resource in _list(document, "resourceSpans"))
    except (ParseError, LookupError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise UnusualError(str(error)) from error


def _resource(resource: Mapping[str, Any]) -> bytes:
    scopes = b"".join(_framed(b"\x12", _scope(scope)) for scope in _list(resource, "scopeSpans"))
    return _rest(resource, frozenset({"scopeSpans"}), ResourceSpans) + scopes


def _scope(scope: Mapping[str, Any]) -> bytes:
    spans = b"".join(_framed(b"\x12", b"".join(_span(span))) for span in _list(scope, "spans"))
    return _rest(scope, frozenset({"spans"}), ScopeSpans) + spans


def _list(holder: Mapping[str, Any], name: str) -> list[Any]:
    found = holder.get(name, [])
    if type(found) is not list:
        raise UnusualError(f"{name} is no list")
    return found


def _rest(stated: Mapping[str, Any], written: frozenset[str], kind: Any) -> bytes:
    """The fields that are not `written`, as protobuf maps them."""
    others = {name: value for name, value in stated.items() if name not in written and name not in _LEFT_OUT}
    if any("_" in name or name == "instrumentationLibrarySpans" for name in others):
        raise UnusualError("a field in another spelling")
    return bytes(ParseDict(others, kind(), ignore_unknown_fields=True).SerializeToString()) if others else b""


def _span(span: Mapping[str, Any]) -> Iterator[bytes]:
    yield _framed(_TRACE_ID, _id(span["traceId"], 16))
    yield _framed(_SPAN_ID, _id(span["spanId"], 8))
    if parent := span.get("parentSpanId"):
        yield _framed(_PARENT_ID, _id(parent, 8))
    yield _framed(_NAME, span.get("name", "").encode())
    yield _KIND + _varint(_whole(span.get("kind", 0), 0, 2**31))
    yield _START + _FIXED64.pack(_whole(span.get("startTimeUnixNano", 0), 0, _UINT64))
    yield _END + _FIXED64.pack(_whole(span.get("endTimeUnixNano", 0), 0, _UINT64))
    for attribute in _list(span, "attributes"):
        yield _framed(_ATTRIBUTES, _attribute(attribute))
    if not span.keys() <= _WRITTEN:
        yield _rest(span, _WRITTEN, Span)


def _attribute(attribute: dict[str, Any]) -> bytes:
    value = attribute["value"]
    if len(attribute) == 2 and len(value) == 1:
        ((kind, content),) = value.items()
        if kind == "stringValue":
            return _key(attribute["key"]) + _framed(b"\x12", _framed(b"\x0a", content.encode()))
        if kind == "intValue":
            return _key(attribute["key"]) + _framed(b"\x12", b"\x18" + _varint(_whole(content, -_INT64, _INT64) % _UINT64))
        if kind == "doubleValue" and type(content) in (float, int):
            return _key(attribute["key"]) + b"\x12\x09\x21" + _DOUBLE.pack(content)
        if kind == "boolValue" and isinstance(content, bool):
            return _key(attribute["key"]) + (b"\x12\x02\x10\x01" if content else b"\x12\x02\x10\x00")
    return bytes(ParseDict(attribute, KeyValue(), ignore_unknown_fields=True).SerializeToString())


@lru_cache(maxsize=4096)
def _key(key: str) -> bytes:
    return _framed(b"\x0a", key.encode())


def _id(text: str, size: int) -> bytes:
    if len(text) != 2 * size:
        raise UnusualError("an id that is not in hex")
    return bytes.fromhex(text)


def _whole(value: object, low: int, end: int) -> int:
    """A whole number from `low` on and below `end`, which OTLP/JSON writes as text or number."""
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdecimal():
        value = int(value)
    if type(value) is not int or not low <= value < end:
        raise UnusualError(f"{value!r} is not a whole number from {low} on and below {end}")
    return value


def _framed(tag: bytes, body: bytes) -> bytes:
    return tag + _varint(len(body)) + body


_ONE_BYTE: Final = tuple(bytes([number]) for number in range(128))


def _varint(number: int) -> bytes:
    if number < 128:
        return _ONE_BYTE[number]
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)
