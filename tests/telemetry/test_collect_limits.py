"""Limits: attributes by number and size, connections on both ports; what is beyond them is turned away and counted."""

import socket
from pathlib import Path

import grpc
import httpx
import pytest

from meshslo.telemetry.collect.access import Sender
from meshslo.telemetry.collect.logs import LOGS
from meshslo.telemetry.collect.signals import Limits
from meshslo.telemetry.collect.traces import TRACES
from tests.support.collector import running
from tests.support.net import wait_for
from tests.support.otlp import make_batch, make_request, make_span

LIMITS = Limits(max_attributes=2, max_attribute_bytes=64)
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def of(*values: str) -> list[dict[str, object]]:
    return [{"key": f"key{number}", "value": {"string_value": value}} for number, value in enumerate(values)]


def test_a_span_with_too_many_or_too_large_attributes_is_taken_out() -> None:
    fitting = make_span(attributes=of("a" * 30, "b"))
    many, large = make_span(attributes=of("a", "b", "c")), make_span(attributes=of("L" * 70))
    checked = TRACES.check(make_batch([fitting, many, large]), Sender(), LIMITS)
    assert checked.accepted == 1
    assert checked.rejected == {"more than 2 attributes": 1, "an attribute of more than 64 bytes": 1}
    assert b"L" * 70 not in checked.payload
    assert TRACES.check(checked.payload, Sender(), LIMITS).accepted == 1


def test_all_spans_of_a_resource_beyond_the_limits_are_taken_out_and_those_of_others_kept() -> None:
    request = make_request([make_span(), make_span()])
    for number in range(2):
        request.resource_spans[0].resource.attributes.add(key=f"key{number}").value.string_value = "x"
    request.MergeFrom(make_request([make_span()]))
    checked = TRACES.check(request.SerializeToString(), Sender(), LIMITS)
    assert (checked.accepted, checked.rejected) == (1, {"its resource has more than 2 attributes": 2})


def test_a_large_span_of_small_attributes_is_within_the_limits() -> None:
    batch = make_batch([make_span(name="n" * 500, attributes=of("a", "b"))])
    assert TRACES.check(batch, Sender(), LIMITS).payload == batch


def test_limits_hold_for_every_signal() -> None:
    request = LOGS.parse(b"")
    request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=1, attributes=of("a", "b", "c"))
    assert LOGS.check(request.SerializeToString(), Sender(), LIMITS).rejected == {"more than 2 attributes": 1}


def counted(http: httpx.Client) -> str:
    return http.get("/metrics").text


@pytest.mark.system
def test_connections_beyond_the_limit_are_turned_away_on_both_ports(tmp_path: Path) -> None:
    with running(tmp_path, "--max-connections", "2", "--max-attributes", "2") as collector:
        host, _, port = collector.http.rpartition(":")
        with httpx.Client(base_url=f"http://{collector.http}") as http, socket.create_connection((host, int(port))):
            assert http.get("/healthz").status_code == 200
            answer = httpx.get(f"http://{collector.http}/healthz")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            assert 'requests_refused_total{reason="too many connections"} 1.0' in counted(http)
            many = make_batch([make_span(attributes=of("a", "b", "c"))])
            http.post("/v1/traces", content=many, headers={"Content-Type": "application/x-protobuf"})
            assert 'spans_rejected_total{reason="more than 2 attributes"} 1.0' in counted(http)
        wait_for(lambda: httpx.get(f"http://{collector.http}/healthz").status_code == 200, what="room again", timeout_s=300)
        channels = [grpc.insecure_channel(collector.grpc, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(3)]
        for channel in channels[:2]:
            assert channel.unary_unary(EXPORT)(make_batch(), timeout=30) == b""
        with pytest.raises(grpc.RpcError) as caught:
            channels[2].unary_unary(EXPORT)(make_batch(), timeout=5)
        with httpx.Client(base_url=f"http://{collector.http}") as http:
            at_the_limit = 'connections{port="grpc"} 2.0'
            wait_for(lambda: at_the_limit in counted(http), what="telling that no more fit", timeout_s=300)
            assert "connections_limit 2.0" in counted(http)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE, "which exporters take for a reason to send again"
        for channel in channels:
            channel.close()
