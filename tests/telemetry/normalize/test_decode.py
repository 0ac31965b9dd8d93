"""OTLP bytes and JSON to the span table."""

import base64
import json
from typing import Any

import polars as pl
import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.normalize import SPANS, decode_traces, decode_traces_json, traces_json_to_protobuf
from tests.telemetry.normalize.otlp import CLIENT, SERVER, export, spec

GOOD = spec(1, "gateway", SERVER)


def mended(**changes: Any) -> bytes:
    """A good span and one with `changes`, serialized."""
    request = export(GOOD, spec(2, "gateway", SERVER))
    broken = request.resource_spans[1].scope_spans[0].spans[0]
    for name, value in changes.items():
        setattr(broken, name, value)
    return request.SerializeToString()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trace_id": b"short"}, "trace_id must be 16 bytes and span_id 8"),
        ({"span_id": b""}, "trace_id must be 16 bytes and span_id 8"),
        ({"trace_id": bytes(16)}, "trace_id or span_id is all zero"),
        ({"parent_span_id": b"abc"}, "parent_span_id must be 8 bytes or absent"),
        ({"start_time_unix_nano": 0}, "start_time_unix_nano is missing"),
        ({"end_time_unix_nano": 0}, "end_time_unix_nano is missing"),
        ({"end_time_unix_nano": 5, "start_time_unix_nano": 6}, "end_time_unix_nano is before start_time_unix_nano"),
        ({"end_time_unix_nano": 2**64 - 1}, "end_time_unix_nano is beyond the year 2262"),
    ],
)
def test_a_broken_span_is_counted_with_its_reason_and_its_neighbour_kept(changes: dict[str, Any], reason: str) -> None:
    decoded = decode_traces(mended(**changes))
    assert [(item.reason, item.count) for item in decoded.rejected] == [(reason, 1)]
    assert decoded.rejected_spans == 1
    assert decoded.spans["span_id"].to_list() == [(1).to_bytes(8, "big")]


def test_an_empty_export_has_no_spans() -> None:
    assert_frame_equal(decode_traces(b"").spans, pl.DataFrame(schema=SPANS))


@pytest.mark.parametrize("payload", [b"\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n", export(GOOD).SerializeToString()[:-3]])
def test_bytes_that_are_no_export_are_refused(payload: bytes) -> None:
    with pytest.raises(BadInputError, match="expected a serialized ExportTraceServiceRequest"):
        decode_traces(payload)


@settings(deadline=None, max_examples=30)
@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(payload: bytes) -> None:
    try:
        decoded = decode_traces(payload)
    except BadInputError:
        return
    assert decoded.spans.schema == SPANS


def test_only_attributes_that_a_column_asks_for_are_kept() -> None:
    secrets = {"gen_ai.input.messages": "my secret", "http.url": "http://x/?key=secret", "gen_ai.prompt": "secret"}
    spans = decode_traces(export(spec(1, "a", SERVER, attributes=secrets)).SerializeToString()).spans
    assert "secret" not in str(spans.to_dicts())


def test_the_best_spelling_of_a_column_counts() -> None:
    old_and_new = {
        "http.status_code": "500",
        "http.response.status_code": 200,
        "gen_ai.system": "x",
        "gen_ai.provider.name": "y",
    }
    span = decode_traces(export(spec(1, "a", SERVER, attributes=old_and_new)).SerializeToString()).spans.row(0, named=True)
    assert (span["status_code"], span["provider"]) == ("200", "y")


def test_numbers_booleans_and_words_arrive_as_text() -> None:
    values = {"gen_ai.request.stream": True, "meshslo.stream.max_gap_s": 0.25, "meshslo.stream.chunks": 7, "tenant.id": "acme"}
    span = decode_traces(export(spec(1, "a", SERVER, attributes=values)).SerializeToString()).spans.row(0, named=True)
    assert (span["streaming"], span["max_gap_s"], span["chunks"], span["tenant"]) == ("true", "0.25", "7", "acme")


def test_a_long_word_is_cut_to_a_label() -> None:
    span = decode_traces(export(spec(1, "a", SERVER, attributes={"tenant.id": "x" * 10_000})).SerializeToString()).spans
    assert span["tenant"].str.len_chars().to_list() == [256]


def otlp_json(dialect: str) -> dict[str, Any]:
    """Two spans as OTLP/JSON (hex ids, numbers) or in Tempo's dialect (base64 ids, names, `batches`)."""
    request = export(GOOD, spec(2, "generator", CLIENT, 1, attributes={"http.response.status_code": 200}))
    document = MessageToDict(request, use_integers_for_enums=dialect == "otlp")
    if dialect == "tempo":
        return {"batches": document["resourceSpans"]}
    for resource in document["resourceSpans"]:
        for span in resource["scopeSpans"][0]["spans"]:
            for name in ("traceId", "spanId", "parentSpanId"):
                if name in span:
                    span[name] = base64.b64decode(span[name]).hex()
    return document


@pytest.mark.parametrize("dialect", ["otlp", "tempo"])
def test_json_says_what_protobuf_says(dialect: str) -> None:
    text = json.dumps(otlp_json(dialect))
    expected = decode_traces(
        export(GOOD, spec(2, "generator", CLIENT, 1, attributes={"http.response.status_code": 200})).SerializeToString()
    )
    assert_frame_equal(decode_traces_json(text).spans, expected.spans)
    assert_frame_equal(decode_traces(traces_json_to_protobuf(text)).spans, expected.spans)


@pytest.mark.parametrize("wrapper", ["result", "trace"])
def test_json_of_query_answers_is_unwrapped(wrapper: str) -> None:
    assert decode_traces_json(json.dumps({wrapper: otlp_json("otlp")})).spans.height == 2


def test_json_fields_nobody_knows_are_passed_over() -> None:
    document = otlp_json("otlp")
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["someday"] = {"deep": [1, 2]}
    assert decode_traces_json(json.dumps(document)).spans.height == 2


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "null",
        '{"resourceSpans": 3}',
        '{"resourceSpans": [3]}',
        '{"resourceSpans": [{"scopeSpans": [{"spans": ["x"]}]}]}',
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "yesterday"}]}]}]}',
        '{"resourceSpans": [{"scopeSpans": {"spans": 1}}]}',
        '{"metrics": []}',
        "[" * 100_000,
    ],
)
def test_json_that_is_no_export_is_refused(text: str) -> None:
    with pytest.raises(BadInputError):
        decode_traces_json(text)


@pytest.mark.parametrize("identity", ["zz" * 16, "abc", 7, "6" * 31])
def test_a_json_id_that_is_none_rejects_its_span_only(identity: object) -> None:
    document = otlp_json("otlp")
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = identity
    decoded = decode_traces_json(json.dumps(document))
    assert decoded.spans.height == 1
    assert decoded.rejected_spans == 1
