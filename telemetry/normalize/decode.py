"""OTLP bytes to the span table; what cannot be a span is counted with its reason, its neighbours are kept."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from meshslo.telemetry.errors import BadInputError

from .columnar import decode_columns
from .spans import Decoded


def decode_traces(payload: bytes) -> Decoded:
    """The span table of a serialized ExportTraceServiceRequest.

    Raises BadInputError when the bytes are no such message.
    """
    parse_request(payload)
    return decode_many([payload])


def decode_many(payloads: Sequence[bytes]) -> Decoded:
    """The span table of several serialized ExportTraceServiceRequests that were checked on receipt, end to end.

    Raises BadInputError when one of them is no such message, as far as it is read: fields that are passed over are not checked.
    Many together are read several times as fast as one by one.
    """
    try:
        return decode_columns(payloads)
    except ValueError:
        # The quick reader knows no groups, which a message may hold in fields we do not read: protobuf itself decides what is
        # a message, and leaves out what is unknown.
        return decode_columns([_plain(payload) for payload in payloads])


def decode_request(request: Any) -> Decoded:
    """The span table of a parsed ExportTraceServiceRequest."""
    return decode_many([request.SerializeToString()])


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


def _plain(payload: bytes) -> bytes:
    request = parse_request(payload)
    request.DiscardUnknownFields()
    return bytes(request.SerializeToString())
