"""The decoder by columns agrees with the one that reads span by span, whatever the message holds."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status
from polars.testing import assert_frame_equal

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.normalize import decode_traces
from meshslo.telemetry.normalize.decode import decode_many, parse_request
from meshslo.telemetry.normalize.spans import COMPLETE_EVENTS, HEADERS_EVENT, RESOURCE_SLOTS, SPAN_SLOTS, TOKEN_EVENT
from tests.telemetry.normalize.by_rows import decode_by_rows

pytestmark = pytest.mark.slow

TEXT = st.sampled_from(["", "-", "a", "b", "é", "x" * 300])
SCALARS = (
    st.builds(AnyValue, string_value=TEXT)
    | st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1))
    | st.builds(AnyValue, double_value=st.floats(allow_nan=False))
    | st.builds(AnyValue, bool_value=st.booleans())
    | st.builds(AnyValue, bytes_value=st.binary(max_size=3))
)
NESTED = st.builds(AnyValue, kvlist_value=st.just(KeyValueList(values=[KeyValue(key="tenant.id")])))
VALUES = (
    SCALARS
    | NESTED
    | st.just(AnyValue())
    | st.builds(AnyValue, array_value=st.builds(ArrayValue, values=st.lists(SCALARS | NESTED, max_size=2)))
)
NAMES = st.sampled_from([*SPAN_SLOTS, *RESOURCE_SLOTS, "prompt", "", "service"])
ATTRIBUTES = st.lists(st.builds(KeyValue, key=NAMES, value=VALUES), max_size=5)
TIMES = st.sampled_from([0, 1, 5, 10**18, 2**63 - 1, 2**63, 2**64 - 1])
EVENTS = st.lists(
    st.builds(
        Span.Event, time_unix_nano=TIMES, name=st.sampled_from([HEADERS_EVENT, TOKEN_EVENT, *COMPLETE_EVENTS.values(), "other"])
    ),
    max_size=4,
)
TRACE_IDS = st.sampled_from([b"t" * 16, b"u" * 16, bytes(16), b"", b"short"])
SPAN_IDS = st.sampled_from([b"s" * 8, b"r" * 8, bytes(8), b"", b"too long for one"])
SPAN = st.builds(
    Span,
    trace_id=TRACE_IDS,
    span_id=SPAN_IDS,
    parent_span_id=SPAN_IDS,
    trace_state=TEXT,
    name=TEXT,
    kind=st.integers(0, 9),
    start_time_unix_nano=TIMES,
    end_time_unix_nano=TIMES,
    attributes=ATTRIBUTES,
    events=EVENTS,
    status=st.none() | st.builds(Status, code=st.integers(0, 4)),
)
# Most spans are good: otherwise little would be read of them.
GOOD = SPAN.map(
    lambda span: _with(span, trace_id=b"t" * 16, span_id=b"s" * 8, start_time_unix_nano=5, end_time_unix_nano=10**18)
)
SCOPES = st.builds(ScopeSpans, spans=st.lists(GOOD | GOOD | SPAN, max_size=4))
RESOURCES = st.builds(
    ResourceSpans, resource=st.none() | st.builds(Resource, attributes=ATTRIBUTES), scope_spans=st.lists(SCOPES, max_size=3)
)
REQUESTS = st.builds(ExportTraceServiceRequest, resource_spans=st.lists(RESOURCES, max_size=3))


def _with(span: Span, **fields: Any) -> Span:
    for name, value in fields.items():
        setattr(span, name, value)
    return span


def named_scopes(request: ExportTraceServiceRequest) -> ExportTraceServiceRequest:
    """Every other scope gets a name, so that spans can be told to have theirs."""
    scopes = [scope for resource in request.resource_spans for scope in resource.scope_spans]
    for number, scope in enumerate(scopes):
        if number % 2:
            scope.scope.name = f"scope {number}"
    return request


@settings(deadline=None, max_examples=40)
@given(REQUESTS.map(named_scopes))
def test_columns_and_rows_agree(request_: ExportTraceServiceRequest) -> None:
    payload = request_.SerializeToString()
    by_columns, by_rows = decode_traces(payload), decode_by_rows(payload)
    assert_frame_equal(by_columns.spans, by_rows.spans)
    assert by_columns.rejected == by_rows.rejected


@settings(deadline=None, max_examples=20)
@given(st.lists(REQUESTS.map(named_scopes), max_size=4))
def test_several_messages_are_read_end_to_end(requests: list[ExportTraceServiceRequest]) -> None:
    payloads = [request.SerializeToString() for request in requests]
    together, joined = decode_many(payloads), decode_traces(b"".join(payloads))
    assert_frame_equal(together.spans, joined.spans)
    assert together.rejected == joined.rejected


@settings(deadline=None, max_examples=40)
@given(REQUESTS, st.data())
def test_what_protobuf_takes_for_a_message_is_read_like_it_and_nothing_else(
    request_: ExportTraceServiceRequest, data: st.DataObject
) -> None:
    payload = bytearray(request_.SerializeToString() or b"\x0a\x00")
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse_request(bytes(payload))
    except BadInputError:
        with pytest.raises(BadInputError):
            decode_traces(bytes(payload))
        return
    assert_frame_equal(decode_traces(bytes(payload)).spans, decode_by_rows(bytes(payload)).spans)


def test_unknown_fields_of_every_wire_type_are_passed_over() -> None:
    span = GOOD_BYTES
    group = b"\xa3\x06\x08\x01\xa4\x06"  # field 100 as a group, which nothing writes any more and a parser must still skip
    fixed = b"\xa1\x06" + bytes(8) + b"\xa5\x06" + bytes(4) + b"\xa0\x06\x01" + b"\xa2\x06\x03abc"
    assert_frame_equal(decode_traces(span + group + fixed).spans, decode_traces(span).spans)
    assert decode_traces(span).spans.height == 1


GOOD_BYTES = ExportTraceServiceRequest(
    resource_spans=[
        ResourceSpans(
            scope_spans=[
                ScopeSpans(
                    spans=[Span(trace_id=b"t" * 16, span_id=b"s" * 8, start_time_unix_nano=1, end_time_unix_nano=2, kind=2)]
                )
            ]
        )
    ]
).SerializeToString()


def test_numbers_are_printed_so_that_they_read_back_the_same() -> None:
    numbers = [0.1, 1e-7, 1 / 3, 5e-324, 1e300, 123456789.123456789]
    request = ExportTraceServiceRequest.FromString(GOOD_BYTES)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    for number in numbers:
        del span.attributes[:]
        span.attributes.add(key="meshslo.stream.max_gap_s").value.double_value = number
        read = decode_traces(request.SerializeToString()).spans["max_gap_s"]
        assert read.cast(pl.Float64).to_list() == [number]
