"""Access logs of a real Envoy, in the formats people have."""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from meshslo.telemetry.schema import FRAME
from meshslo.telemetry.sources.envoy_log import FIELDS
from tests.support.shared import ROOT
from tests.telemetry.sources.reading import read, sniffed

LOGS = Path(__file__).parents[1] / "fixtures" / "access_log"
FORMS = ("envoy_default.txt", "istio_default.txt", "istio.jsonl")
TRUE_ENDS = ["ok", "timeout", "timeout", "timeout", "rejected", "ok", "rejected", "cancelled"]

ISTIO_INBOUND = (
    b'[2020-11-25T21:26:18.409Z] "GET /status/418 HTTP/1.1" 418 - via_upstream - "-" 0 135 3 1 "-" "curl/7.73.0-DEV" '
    b'"84961386-6d84-929d-98bd-c5aee93b5c88" "httpbin:8000" "127.0.0.1:80" inbound|8000|| 127.0.0.1:41854 10.44.1.27:80 '
    b"10.44.1.23:37652 outbound_.8000_._.httpbin.foo.svc.cluster.local default\n"
)
TCP = (
    b'[2020-11-25T21:26:18.409Z] "- - -" 0 - - - "-" 1 2 3 - "-" "-" "-" "-" "1.2.3.4:5" '
    b"outbound|9||db.ns.svc.cluster.local a b c - -\n"
)


def logged(name: str) -> pl.DataFrame:
    calls, tally = read(LOGS / name, "envoy-log")
    assert (tally.bad, calls.height) == (0, 8)
    return calls


@pytest.mark.parametrize("name", FORMS)
def test_the_format_is_recognised(name: str) -> None:
    assert sniffed((LOGS / name).read_bytes()) == "envoy-log"


@pytest.mark.parametrize("name", FORMS[1:])
def test_every_line_ends_as_it_truly_did(name: str) -> None:
    assert logged(name)["outcome"].to_list() == TRUE_ENDS


def test_envoys_default_text_hides_only_a_duration_limit() -> None:
    # No flag and no details: nothing in that line tells (see the fixtures' README).
    assert logged("envoy_default.txt")["outcome"].to_list() == ["ok", "timeout", "ok", *TRUE_ENDS[3:]]


@pytest.mark.parametrize("name", FORMS)
def test_times_are_milliseconds_of_the_whole_stream_and_of_its_headers(name: str) -> None:
    first = logged(name).row(0, named=True)
    assert first["start"] == datetime(2026, 11, 24, 7, 11, 6, 880000, tzinfo=UTC)
    assert (first["duration_s"], first["status_code"], first["method"], first["protocol"]) == (0.805, 200, "POST", "HTTP/1.1")
    assert first["first_byte_s"] == (0.003 if name == "istio.jsonl" else 0.0)


@pytest.mark.parametrize("name", FORMS)
def test_no_path_and_no_query_gets_into_a_row(name: str) -> None:
    text = str(logged(name).to_dicts())
    assert "secret" not in text
    assert "/chat" not in text


@pytest.mark.parametrize("name", FORMS[1:])
def test_the_cluster_tells_side_and_callee(name: str) -> None:
    rows = logged(name).select("vantage", "hop", "route").rows()
    assert rows[0] == ("proxy_in", "unknown>generator", "chat")
    assert rows[1] == ("proxy_out", "unknown>generator", "cap")


def test_json_tells_tenant_model_and_attempts() -> None:
    calls = logged("istio.jsonl")
    assert calls["tenant"].unique().to_list() == ["acme"]
    assert calls["model"].unique().to_list() == ["small"]
    assert calls["attempt"].to_list() == [1, 1, 1, 1, 2, 1, 1, 1]


def test_an_inbound_line_of_istio_names_its_service_by_the_server_name() -> None:
    calls, _ = read(ISTIO_INBOUND, "envoy-log", constants=("caller=sleep",))
    row = calls.row(0, named=True)
    assert (row["hop"], row["vantage"], row["outcome"], row["duration_s"]) == ("sleep>httpbin", "proxy_in", "ok", 0.003)


def test_lines_of_tcp_and_of_running_streams_are_no_calls() -> None:
    calls, tally = read(ISTIO_INBOUND + TCP, "envoy-log")
    assert (calls.height, tally.bad, tally.left_out) == (1, 0, {"line of a TCP connection": 1})
    end = (LOGS / "istio.jsonl").read_bytes().split(b"\n")[0]
    calls, tally = read(end.replace(b"DownstreamEnd", b"DownstreamPeriodic") + b"\n" + end, "envoy-log")
    assert (calls.height, tally.bad, tally.left_out) == (1, 0, {"line of a stream still running": 1})


@pytest.mark.parametrize("name", FORMS)
def test_a_line_of_another_kind_is_named_and_the_others_kept(name: str) -> None:
    lines = (LOGS / name).read_bytes().split(b"\n")
    calls, tally = read(b"\n".join([*lines[:3], b"", b"2026 info something else", *lines[3:]]), "envoy-log")
    assert (calls.height, tally.bad, tally.reasons[0].line) == (8, 1, 5)


@pytest.mark.slow
@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=60)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for head in (ISTIO_INBOUND, (LOGS / "istio.jsonl").read_bytes()):
        calls, tally = read(head + data, "envoy-log")
        assert calls.schema == FRAME
        assert tally.taken == calls.height >= 1


def test_the_recommended_format_is_read_in_full() -> None:
    page = (ROOT / "docs" / "access_logs.md").read_text()
    fields = json.loads(yaml.safe_load(page.split("```yaml")[1].split("```")[0])["accessLogFormat"])
    assert set(fields) <= set(FIELDS)
    line = dict.fromkeys(fields, "-") | {
        "start_time": "2026-11-24T07:11:06.880Z",
        "method": "POST",
        "response_code": 200,
        "grpc_status_number": 4,
        "duration": 1500,
        "response_duration": 20,
        "upstream_cluster": "outbound|80||generator.ns.svc.cluster.local",
        "downstream_peer_uri_san": "spiffe://cluster.local/ns/a/sa/gateway",
        "hostname": "gateway-0",
        "trace_id": "ab" * 16,
    }
    row = read(json.dumps(line).encode(), "envoy-log")[0].row(0, named=True)
    assert (row["duration_s"], row["first_byte_s"], row["outcome"], row["callee"]) == (1.5, 0.02, "timeout", "generator")
    assert row["mtls"] is True
    assert (row["caller_identity"], row["pod"], row["trace_id"].hex()) == (
        line["downstream_peer_uri_san"],
        "gateway-0",
        "ab" * 16,
    )


NAME = "spiffe://cluster.local/ns/a/sa/gateway"


@pytest.mark.parametrize(
    ("told", "mtls"),
    [
        ({"downstream_tls_version": "TLSv1.3", "downstream_peer_uri_san": NAME}, True),
        ({"downstream_peer_uri_san": NAME}, True),
        ({"downstream_tls_version": "TLSv1.3", "downstream_peer_uri_san": None}, False),
        ({"downstream_tls_version": None, "downstream_peer_uri_san": None}, False),
        ({"downstream_tls_version": "-", "downstream_peer_uri_san": "-"}, False),
        ({"downstream_peer_uri_san": "-"}, None),  # nobody asked whether it was encrypted
        ({"downstream_tls_version": "TLSv1.3"}, None),  # nobody asked for a name
        ({}, None),
    ],
)
@pytest.mark.parametrize("cluster", ["inbound|8080||", "outbound|80||generator.ns.svc.cluster.local"])
def test_only_a_log_that_would_say_so_tells_of_no_certificate(told, mtls, cluster) -> None:
    line = {
        "start_time": "2026-11-24T07:11:06.880Z",
        "method": "POST",
        "response_code": 200,
        "response_flags": "-",
        "duration": 1500,
        "upstream_cluster": cluster,
    }
    # Beside a line that says nothing: what one line leaves open, another of the same file may tell.
    calls, _ = read(b"\n".join(json.dumps(line | more).encode() for more in ({}, told, {})), "envoy-log")
    at_callee = cluster.startswith("inbound")
    assert calls["mtls"].to_list() == [None, mtls if at_callee or mtls else None, None]
