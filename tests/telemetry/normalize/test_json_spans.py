"""The quick reader of OTLP/JSON documents says what the way through protobuf says."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.normalize import decode_traces_json
from meshslo.telemetry.normalize.json_spans import JsonSpans
from tests.telemetry.normalize.otlp import ENVOY

LINES = [line for path in sorted(ENVOY.glob("*.jsonl")) for line in path.read_text().splitlines()]

SPAN: dict[str, Any] = {
    "traceId": "ab" * 16,
    "spanId": "cd" * 8,
    "parentSpanId": "",
    "name": "POST",
    "kind": 2,
    "startTimeUnixNano": "1793610000000000000",
    "endTimeUnixNano": 1793610001000000000,
    "attributes": [
        {"key": "http.response.status_code", "value": {"intValue": "200"}},
        {"key": "meshslo.stream.max_gap_s", "value": {"doubleValue": 0.25}},
        {"key": "gen_ai.request.stream", "value": {"boolValue": True}},
        {
            "key": "http.response.header.content-type",
            "value": {"arrayValue": {"values": [{"stringValue": "text/event-stream"}]}},
        },
        {"key": "tenant.id", "value": {"stringValue": "acme"}},
        {"key": "http.url", "value": {"stringValue": "http://secret"}},
    ],
    "events": [{"timeUnixNano": "1793610000500000000", "name": "First Token Stream Event"}],
    "status": {"code": 2},
}


def document(span: dict[str, Any]) -> dict[str, Any]:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "gateway"}}]}
    return {
        "resourceSpans": [
            {"resource": resource, "scopeSpans": [{"scope": {"name": "s"}, "spans": [span, {**SPAN, "spanId": "ef" * 8}]}]}
        ]
    }


def agree(documents: list[dict[str, Any]]) -> int:
    """Both ways take the same spans and turn the same ones away, or both refuse; how many they take."""
    spans = 0
    for each in documents:
        quick = JsonSpans()
        try:
            slow = decode_traces_json(json.dumps(each))
        except BadInputError:
            with pytest.raises(BadInputError):
                quick.add(each)
            assert quick.spans().is_empty()
            continue
        taken, rejected = quick.add(each)
        assert (taken, rejected) == (slow.spans.height, slow.rejected)
        assert_frame_equal(quick.spans(), slow.spans)
        spans += taken
    return spans


def test_recorded_spans_read_the_same_and_are_put_end_to_end() -> None:
    documents, quick = [json.loads(line) for line in LINES], JsonSpans()
    for each in documents:
        quick.add(each)
    assert quick.height == quick.spans().height == agree(documents)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kind": "SPAN_KIND_CLIENT", "status": {"code": "STATUS_CODE_ERROR"}},
        {"kind": 99},
        {"kind": "SPAN_KIND_NEW"},
        {"traceId": "q6urq6urq6urq6urq6urqw==", "parentSpanId": "zc3Nzc3Nzc0="},
        {"traceId": "short"},
        {"traceId": None},
        {"spanId": "00" * 8},
        {"parentSpanId": "00" * 8},
        {"parentSpanId": "abc"},
        {"endTimeUnixNano": None},
        {"endTimeUnixNano": "5"},
        {"endTimeUnixNano": str(2**64 - 1)},
        {"endTimeUnixNano": "18446744073709551616"},
        {"endTimeUnixNano": "soon"},
        {"endTimeUnixNano": -5},
        {"startTimeUnixNano": 1.5},
        {"name": 7},
        {"attributes": None, "events": None},
        {"attributes": [7]},
        {"attributes": [{"key": "tenant.id", "value": {"stringValue": 7}}]},
        {"attributes": [{"key": "tenant.id", "value": {"kvlistValue": {"values": []}}}]},
        {"attributes": [{"key": "tenant.id"}]},
        {"attributes": [{"key": "tenant.id", "value": {"stringValue": "-"}}]},
        {"attributes": [{"key": "http.status_code", "value": {"intValue": "12x"}}]},
        {"status": None},
        {"unknown": {"deep": []}},
    ],
)
def test_changed_spans_read_the_same(changes: dict[str, Any]) -> None:
    agree([document({**copy.deepcopy(SPAN), **changes})])


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from(sorted(SPAN)),
    st.none() | st.booleans() | st.integers(-2, 5) | st.text(max_size=3) | st.just([]) | st.just({}),
)
def test_any_value_in_any_place_is_read_or_refused(name: str, value: Any) -> None:
    quick = JsonSpans()
    try:
        taken, rejected = quick.add(document({**copy.deepcopy(SPAN), name: value}))
    except BadInputError:
        assert quick.height == 0
        return
    assert taken + sum(rejection.count for rejection in rejected) == 2
    assert quick.spans().height == taken


@pytest.mark.parametrize(
    "broken", [[], 7, {"resourceSpans": 7}, {"resourceSpans": [7]}, {"resourceSpans": [{"scopeSpans": [{"spans": ["x"]}]}]}]
)
def test_a_broken_document_adds_nothing(broken: object) -> None:
    quick = JsonSpans()
    quick.add(document(SPAN))
    with pytest.raises(BadInputError):
        quick.add(broken)
    assert quick.spans().height == 2


def test_the_other_spelling_is_read_too() -> None:
    quick = JsonSpans()
    assert quick.add({"resource_spans": document(SPAN)["resourceSpans"]}) == (2, ())
    assert quick.spans().height == 2
