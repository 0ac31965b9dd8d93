"""Protobuf messages from a table of their fields: others' messages cut down to what is read or written here.

No generated code, and no package that carries a whole schema for a few fields of it.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final, cast

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

TEXT: Final = int(FieldDescriptorProto.TYPE_STRING)
BYTES: Final = int(FieldDescriptorProto.TYPE_BYTES)
BOOL: Final = int(FieldDescriptorProto.TYPE_BOOL)
DOUBLE: Final = int(FieldDescriptorProto.TYPE_DOUBLE)
INT32: Final = int(FieldDescriptorProto.TYPE_INT32)
INT64: Final = int(FieldDescriptorProto.TYPE_INT64)
UINT32: Final = int(FieldDescriptorProto.TYPE_UINT32)
UINT64: Final = int(FieldDescriptorProto.TYPE_UINT64)
SINT32: Final = int(FieldDescriptorProto.TYPE_SINT32)
SINT64: Final = int(FieldDescriptorProto.TYPE_SINT64)
FIXED64: Final = int(FieldDescriptorProto.TYPE_FIXED64)

Kind = int | str
Fields = tuple[tuple[str, int, Kind | list[Kind]], ...]
"""(name, number, type or message) of each field; a kind in a list is a repeated field."""


def describe(package: str, messages: Mapping[str, Fields], root: str, *, choices: Collection[str] = ()) -> Any:
    """The descriptor of the message `root` of a table of messages (proto3).

    The fields of a message in `choices` exclude each other: there, a field that is absent is null and not its default.
    """
    file = FileDescriptorProto(name=f"{package.replace('.', '/')}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            target = kind[0] if isinstance(kind, list) else kind
            label = FieldDescriptorProto.LABEL_REPEATED if isinstance(kind, list) else FieldDescriptorProto.LABEL_OPTIONAL
            made = message.field.add(name=field, number=number, label=label)
            if isinstance(target, str):
                made.type, made.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{package}.{target}"
            else:
                made.type = cast("FieldDescriptorProto.Type.ValueType", target)
            if name in choices and not isinstance(target, str):
                made.proto3_optional, made.oneof_index = True, len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field}")
    pool = DescriptorPool()
    pool.Add(file)
    return pool.FindMessageTypeByName(f"{package}.{root}")
