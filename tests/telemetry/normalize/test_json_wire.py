"""The quick way from OTLP/JSON to protobuf says what protobuf's own mapping says, or leaves it to it."""

import json
import random
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.normalize import traces_json_to_protobuf
from meshslo.telemetry.normalize.json_wire import UnusualError, request_bytes
from meshslo.telemetry.normalize.otlp_json import json_request
from tests.support.shared import ROOT

TEXT = st.text(max_size=20)
VALUES = st.one_of(
    st.builds(lambda text: {"stringValue": text}, TEXT),
    st.builds(lambda number: {"intValue": str(number)}, st.integers(-(2**63), 2**63 - 1)),
    st.builds(lambda number: {"intValue": number}, st.integers(-(2**63), 2**63 - 1)),
    st.builds(lambda number: {"doubleValue": number}, st.floats(allow_nan=False, allow_infinity=False)),
    st.builds(lambda truth: {"boolValue": truth}, st.booleans()),
    st.builds(lambda text: {"arrayValue": {"values": [{"stringValue": text}]}}, TEXT),
    st.just({}),
)
ATTRIBUTES = st.lists(st.builds(lambda key, value: {"key": key, "value": value}, TEXT, VALUES), max_size=5)
HEX = st.integers(0, 2**64 - 1)
SPANS = st.fixed_dictionaries(
    {"traceId": HEX.map(lambda number: f"{number:032X}"), "spanId": HEX.map(lambda number: f"{number:016x}")},
    optional={
        "parentSpanId": st.one_of(st.just(""), HEX.map(lambda number: f"{number:016x}")),
        "name": TEXT,
        "kind": st.integers(0, 5),
        "startTimeUnixNano": st.one_of(HEX, HEX.map(str)),
        "endTimeUnixNano": HEX.map(str),
        "attributes": ATTRIBUTES,
        "events": st.lists(
            st.fixed_dictionaries({"timeUnixNano": HEX.map(str), "name": TEXT, "attributes": ATTRIBUTES}), max_size=2
        ),
        "status": st.sampled_from([{}, {"code": 2, "message": "no"}]),
        "traceState": TEXT,
        "flags": st.integers(0, 2**32 - 1),
        "invented": TEXT,
    },
)
DOCUMENTS = st.builds(
    lambda resource, scope, spans: {
        "resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [{"scope": {"name": scope}, "spans": spans}]}]
    },
    ATTRIBUTES,
    TEXT,
    st.lists(SPANS, max_size=4),
)


def parsed(payload: bytes) -> dict[str, Any]:
    return MessageToDict(ExportTraceServiceRequest.FromString(payload))


@settings(deadline=None, max_examples=60)
@given(DOCUMENTS)
def test_the_quick_way_says_the_same(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    assert parsed(request_bytes(text)) == MessageToDict(json_request(text))


def recorded() -> list[str]:
    folder = ROOT / "tests" / "telemetry" / "fixtures"
    return [
        line for path in sorted(folder.glob("*/*.jsonl")) for line in path.read_text().splitlines() if "resourceSpans" in line
    ]


def test_what_real_exporters_wrote_takes_the_quick_way() -> None:
    lines = recorded()
    assert len(lines) > 50
    for line in lines:
        assert parsed(request_bytes(line)) == MessageToDict(json_request(line))


def outcome(make: Any, text: str) -> Any:
    try:
        return parsed(make(text))
    except BadInputError:
        return "refused"


def test_changed_documents_are_judged_as_by_protobufs_mapping() -> None:
    chance, lines = random.Random(5), recorded()
    odd: list[Any] = [None, True, -1, 1.5, "", "x", "1e3", [], {}, [1], {"a": 1}, 2**64, "SPAN_KIND_SERVER", " 5", "٥"]
    for _ in range(1500):
        document = json.loads(chance.choice(lines))
        target: Any = document
        while isinstance(target, dict | list) and target:
            key = chance.choice(list(target)) if isinstance(target, dict) else chance.randrange(len(target))
            if chance.random() < 0.2 or not isinstance(target[key], dict | list):
                change = chance.randrange(3)
                if change and isinstance(target, dict):
                    target[chance.choice(["trace_id", "scope_spans", "spans", "key", "links", key])] = chance.choice(odd)
                else:
                    target[key] = chance.choice(odd)
                break
            target = target[key]
        text = json.dumps(document)
        slow = outcome(lambda text: json_request(text).SerializeToString(), text)
        assert outcome(traces_json_to_protobuf, text) == slow, text


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"batches": []}', '{"resourceSpans": {"a": 1}}', "[" * 100_000])
def test_what_is_not_written_by_exporters_is_left_to_protobuf(text: str) -> None:
    with pytest.raises(UnusualError):
        request_bytes(text)
