"""OTLP bytes to Arrow arrays, without an object per span: the fields that the span table needs are read, the rest is skipped.

The messages below are OTLP's own, cut down to those fields: same numbers, same types. `ptars` reads them in Rust.
Source: opentelemetry-proto, trace/v1/trace.proto, common/v1/common.proto, resource/v1/resource.proto.
"""

from collections.abc import Sequence
from typing import Final, cast

import pyarrow as pa
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from ptars import HandlerPool

_TEXT: Final = FieldDescriptorProto.TYPE_STRING
_BYTES: Final = FieldDescriptorProto.TYPE_BYTES
_TIME: Final = FieldDescriptorProto.TYPE_FIXED64
_ENUM: Final = FieldDescriptorProto.TYPE_INT32
_PACKAGE: Final = "meshslo.otlp"

# Message -> (field, number, type or message); a message's name in a list is a repeated field.
_MESSAGES: Final[dict[str, tuple[tuple[str, int, int | str | list[str]], ...]]] = {
    "Item": (("text", 1, _TEXT),),
    "Array": (("values", 1, ["Item"]),),
    "Value": (
        ("text", 1, _TEXT),
        ("truth", 2, FieldDescriptorProto.TYPE_BOOL),
        ("whole", 3, FieldDescriptorProto.TYPE_INT64),
        ("real", 4, FieldDescriptorProto.TYPE_DOUBLE),
        ("array", 5, "Array"),
    ),
    "Attribute": (("key", 1, _TEXT), ("value", 2, "Value")),
    "Resource": (("attributes", 1, ["Attribute"]),),
    "Scope": (("name", 1, _TEXT),),
    "Event": (("time", 1, _TIME), ("name", 2, _TEXT)),
    "Status": (("code", 3, _ENUM),),
    "Span": (
        ("trace_id", 1, _BYTES),
        ("span_id", 2, _BYTES),
        ("trace_state", 3, _TEXT),
        ("parent_span_id", 4, _BYTES),
        ("name", 5, _TEXT),
        ("kind", 6, _ENUM),
        ("start", 7, _TIME),
        ("end", 8, _TIME),
        ("attributes", 9, ["Attribute"]),
        ("events", 11, ["Event"]),
        ("status", 15, "Status"),
    ),
    "ScopeSpans": (("scope", 1, "Scope"), ("spans", 2, ["Span"])),
    "ResourceSpans": (("resource", 1, "Resource"), ("scopes", 2, ["ScopeSpans"])),
    "Request": (("resources", 1, ["ResourceSpans"]),),
}
_CHOICES: Final = "Value"
"""The message whose fields exclude each other: there, a field that is absent is null and not its default."""


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="meshslo/otlp.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            target = kind[0] if isinstance(kind, list) else kind
            label = FieldDescriptorProto.LABEL_REPEATED if isinstance(kind, list) else FieldDescriptorProto.LABEL_OPTIONAL
            made = message.field.add(name=field, number=number, label=label)
            if isinstance(target, str):
                made.type, made.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{_PACKAGE}.{target}"
            else:
                made.type = cast("FieldDescriptorProto.Type.ValueType", target)
            if name == _CHOICES and not isinstance(target, str):
                made.proto3_optional, made.oneof_index = True, len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field}")
    return file


def _handler() -> object:
    pool = DescriptorPool()
    pool.Add(_file())
    descriptor = pool.FindMessageTypeByName(f"{_PACKAGE}.Request")
    return HandlerPool([descriptor.file]).get_for_message(descriptor)


_HANDLER: Final = _handler()


def read_resources(payloads: Sequence[bytes]) -> pa.StructArray:
    """The ResourceSpans of all `payloads`, end to end, as nested Arrow arrays; ValueError where one is no such message."""
    batch = _HANDLER.list_to_record_batch(list(payloads))  # type: ignore[attr-defined]  # made in Rust, without types
    return batch.column(0).flatten()
