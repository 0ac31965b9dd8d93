"""OTLP, Tempo and Jaeger files."""

import gzip
import json
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from google.protobuf.json_format import MessageToDict

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.normalize import normalize, to_calls
from tests.support.shared import shared
from tests.telemetry.normalize.otlp import CLIENT, ENVOY, SERVER, export, spec
from tests.telemetry.sources.reading import read, sniffed

MESSAGES = [export(spec(1, "a", CLIENT)), export(spec(2, "b", SERVER, 1)), export(spec(3, "c", SERVER, trace=2))]
BYTES = [message.SerializeToString() for message in MESSAGES]


def zstd(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128, *varint(value >> 7)])


FORMS = {
    "JSON lines": b"\n".join(json.dumps(MessageToDict(message)).encode() for message in MESSAGES),
    "frames of the file exporter": b"".join(len(data).to_bytes(4, "big") + data for data in BYTES),
    "compressed frames": b"".join(len(zstd(data)).to_bytes(4, "big") + zstd(data) for data in BYTES),
    "varint-delimited": b"".join(varint(len(data)) + data for data in BYTES),
    "one message": b"".join(BYTES),
    "one laid out document": json.dumps(
        {"resourceSpans": [MessageToDict(m)["resourceSpans"][0] for m in MESSAGES]}, indent=2
    ).encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_otlp_gives_the_same_spans(form: str) -> None:
    spans, tally = read(FORMS[form], "otlp")
    assert (spans["service"].to_list(), tally.taken, tally.bad) == (["a", "b", "c"], 3, 0)


@pytest.mark.parametrize("form", FORMS)
def test_otlp_is_recognised(form: str) -> None:
    assert sniffed(FORMS[form]) == "otlp"


def test_a_line_that_is_no_otlp_is_named_and_the_others_kept() -> None:
    lines = FORMS["JSON lines"].split(b"\n")
    spans, tally = read(b"\n".join([lines[0], b"", b"not json", b'{"resourceLogs": []}', lines[1]]), "otlp")
    assert (spans.height, [bad.line for bad in tally.reasons]) == (2, [3, 4])
    assert "no JSON" in tally.reasons[0].reason


def test_a_rejected_span_is_counted_at_its_line() -> None:
    broken = export(spec(1, "a", CLIENT), spec(2, "a", CLIENT, duration_s=-1))
    spans, tally = read(b"\n" + json.dumps(MessageToDict(broken)).encode(), "otlp")
    assert spans.height == 1
    assert [str(bad) for bad in tally.reasons] == ["log:2: a span rejected: end_time_unix_nano is before start_time_unix_nano"]


def test_a_last_frame_that_breaks_off_is_said_after_the_others() -> None:
    with pytest.raises(BadInputError, match=r"the last message breaks off \(\d+ of \d+ bytes\)"):
        read(FORMS["frames of the file exporter"][:-5], "otlp")


def test_a_damaged_message_between_good_ones_is_named() -> None:
    framed = b"".join(len(data).to_bytes(4, "big") + data for data in (BYTES[0], b"\x0a\xff\xff\xff", BYTES[1]))
    spans, tally = read(framed, "otlp")
    assert (spans.height, tally.bad, tally.reasons[0].line) == (2, 1, 2)


@pytest.mark.parametrize("name", ["streamed_ok", "two_proxies_ok"])
def test_recorded_spans_of_envoy_are_recognised_and_read(name: str) -> None:
    path = ENVOY / f"{name}.jsonl"
    assert sniffed(path.read_bytes()) == "otlp"
    spans, tally = read(path, "otlp")
    assert (spans.height, tally.bad) == (tally.taken, 0)


def test_a_bookinfo_trace_from_tempo_has_the_hops_of_the_mesh() -> None:
    path = shared("data", "otlp", "kiali_tempo_bookinfo_trace.json")
    assert sniffed(path.read_bytes()) == "tempo"
    calls = to_calls(read(path, "tempo")[0])
    hops = {"istio-ingressgateway>productpage", "productpage>details", "productpage>reviews", "reviews>ratings"}
    for vantage in ("proxy_out", "proxy_in"):
        assert set(calls.filter(vantage=vantage)["hop"]) == hops
    gateway = calls.filter(vantage="proxy_out", caller="istio-ingressgateway").row(0, named=True)
    assert (gateway["duration_s"], gateway["status_code"], gateway["namespace"]) == (0.011932, 200, "istio-system")
    assert calls["outcome"].unique().to_list() == ["ok"]


def test_a_search_answer_of_tempo_says_what_to_save_instead() -> None:
    path = shared("data", "otlp", "kiali_tempo_search_response.json")
    assert sniffed(path.read_bytes()) == "tempo"
    with pytest.raises(BadInputError, match="holds no whole trace; save /api/v2/traces/ID"):
        read(path, "tempo")


def test_a_trace_wrapped_by_tempos_newer_api_is_read() -> None:
    text = json.dumps({"trace": MessageToDict(MESSAGES[0])}).encode()
    assert sniffed(text) == "otlp"
    assert read(text, "otlp")[0].height == 1


def test_an_exported_jaeger_trace_has_its_services_as_hops() -> None:
    path = shared("data", "jaeger", "deathstarbench_socialnetwork_jaeger.json.gz")
    assert sniffed(gzip.decompress(path.read_bytes())[:65536]) == "jaeger"
    spans, tally = read(path, "jaeger")
    calls = to_calls(spans)
    assert (spans.height, tally.bad) == (660, 0)
    assert spans["trace_id"].n_unique() == 20
    assert calls.height == 460
    assert calls.filter(vantage="server")["hop"].value_counts()["count"].to_list() == [20] * 12
    assert {"ingress>nginx-web-server", "compose-post-service>user-service"} <= set(calls["hop"])
    assert not calls["hop"].str.contains("unknown").any()


def test_a_jaeger_document_without_spans_is_named() -> None:
    _, tally = read(b'{"data": [{"traceID": "1"}]}', "jaeger")
    assert (tally.bad, "no Jaeger JSON" in tally.reasons[0].reason) == (1, True)


def test_other_kinds_of_files_are_nobodys() -> None:
    for name in ("opentelemetry_proto_logs.json", "opentelemetry_proto_metrics.json"):
        assert sniffed(shared("data", "otlp", name).read_bytes()) is None


def test_spans_of_the_protos_example_are_read() -> None:
    calls = to_calls(read(shared("data", "otlp", "opentelemetry_proto_trace.json"), "otlp")[0])
    assert calls.select("vantage", "hop", "duration_s").row(0) == ("server", "unknown>my.service", 1.0)


def test_a_gateways_openinference_spans_tell_model_and_tokens_and_no_prompt() -> None:
    document = json.loads(shared("data", "genai_spans", "aigw_openinference_chat-basic.json").read_text())
    document |= {
        "traceId": "ab" * 16,
        "spanId": "cd" * 8,
        "startTimeUnixNano": "1793610000000000000",
        "endTimeUnixNano": "1793610006710000000",
    }
    wrapped = {"resourceSpans": [{"scopeSpans": [{"spans": [document]}]}]}
    calls = to_calls(read(json.dumps(wrapped).encode(), "otlp")[0])
    row = calls.row(0, named=True)
    assert (row["model"], row["operation"], row["provider"]) == ("gpt-5-nano-2025-08-07", "chat", "openai")
    assert row["output_tokens"] > 0
    assert "Hello" not in str(row)


def otlp_of_vercel(span: dict[str, Any]) -> dict[str, Any]:
    """A span as the JavaScript SDK prints it (times as [s, ns]) in OTLP/JSON."""
    start, end = (f"{seconds}{nanoseconds:09d}" for seconds, nanoseconds in (span["startTime"], span["endTime"]))
    attributes = [
        {
            "key": key,
            "value": {
                "doubleValue" if isinstance(value, float) else "intValue" if isinstance(value, int) else "stringValue": value
            },
        }
        for key, value in span["attributes"].items()
        if isinstance(value, str | int | float)
    ]
    times = {"startTimeUnixNano": start, "endTimeUnixNano": end}
    return {**span["spanContext"], "name": span["name"], "kind": 1, "attributes": attributes, **times}


def test_the_vercel_sdks_inner_spans_are_calls_with_their_first_token() -> None:
    spans = json.loads(shared("data", "genai_spans", "openinference_vercel_v6_all-spans.json").read_text())
    scope = {"scope": {"name": "ai"}, "spans": [otlp_of_vercel(span) for span in spans]}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "app"}}]}
    result = normalize(read(json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}).encode(), "otlp")[0])
    assert result.left_out == {"internal": 5}
    assert set(result.calls["operation"]) == {"chat", "embeddings"}
    stream = result.calls.filter(pl.col("streaming")).row(0, named=True)
    assert (stream["first_token_s"], stream["duration_s"]) == (pytest.approx(0.4268535), pytest.approx(5.386307375))
    assert (stream["model"], stream["output_tokens"], stream["hop"]) == ("gpt-4o-mini", 112, "app>openai.responses")
    assert "haiku" not in str(result.calls.to_dicts())
