"""Metrics over OTLP into a collector: the SDK's own exporter, both ports, a report from metrics alone, kills."""

import json
import os
import random
from pathlib import Path
from typing import Any

import grpc
import httpx
import polars as pl
import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from meshslo.analysis import open_store
from meshslo.telemetry.collect.access import Sender
from meshslo.telemetry.collect.metrics import METRICS
from meshslo.telemetry.metering import views
from meshslo.telemetry.otlp_metrics import parse_metrics
from meshslo.telemetry.store import open_store as open_files
from meshslo.telemetry.store.metrics import MetricStore
from tests.support.collector import Collector, running
from tests.support.net import wait_for
from tests.support.otlp_metrics import SERVED, Service, make_metrics

PROTOBUF = {"Content-Type": "application/x-protobuf"}
KILLS = max(3, int(os.environ.get("MESHSLO_KILLS", "0")) // 10)


def test_other_metrics_are_passed_over_and_their_neighbours_kept() -> None:
    service = Service()
    service.record([1.0, 2.0])
    request = parse_metrics(service.export())
    point = {"time_unix_nano": 1, "as_double": 0.5}
    request.MergeFrom(make_metrics("process.cpu.utilization", gauge={"data_points": [point, point]}))
    checked = METRICS.check(request.SerializeToString(), Sender())
    assert (checked.accepted, checked.passed_over, checked.rejected) == (1, 2, {})
    assert METRICS.respond(checked).SerializeToString() == b"", "the sender has done nothing wrong"


@pytest.mark.parametrize("where", ["point", "resource"])
def test_a_sender_speaks_for_its_own_tenants_in_metrics_too(where: str) -> None:
    service = Service()
    for tenant in ("acme", "rival"):
        service.record([1.0], **({"tenant.id": tenant} if where == "point" else {"http.route": tenant}))
    request = parse_metrics(service.export())
    if where == "resource":
        request.resource_metrics[0].resource.attributes.add(key="tenant.id").value.string_value = "rival"
    checked = METRICS.check(request.SerializeToString(), Sender(frozenset({"acme"})))
    assert checked.accepted == (1 if where == "point" else 0)
    assert checked.rejected == {"the sender's token may not speak for this tenant": 1 if where == "point" else 2}


def calls_of(collector: Collector, tenant: str) -> dict[str, int]:
    """Calls that a report shows of a tenant, by hop."""
    told = json.loads(open_store(collector.store).report(by=["hop", "tenant"], quantiles=[0.5]).to_json())["rows"]
    return {row["hop"]: row["calls"] for row in told if row["tenant"] == tenant}


@pytest.mark.system
@pytest.mark.xdist_group("collector")
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_sdks_own_exporter_makes_a_report(collector: Collector, protocol: str) -> None:
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpExporter

    exporter: Any = (
        HttpExporter(endpoint=f"http://{collector.http}/v1/metrics")
        if protocol == "http"
        else GrpcExporter(endpoint=f"http://{collector.grpc}", insecure=True)
    )
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    provider = MeterProvider([reader], Resource({"service.name": "generator"}), shutdown_on_exit=False, views=views())
    histogram = provider.get_meter("test").create_histogram("meshslo.call.total", "s")
    chance = random.Random(5)
    durations_s = [chance.lognormvariate(0.0, 1.0) for _ in range(2000)]
    for part in (durations_s[:800], durations_s[800:]):
        for duration_s in part:
            histogram.record(duration_s, {**SERVED, "tenant.id": protocol})
        assert provider.force_flush()
    provider.shutdown()
    store = open_store(collector.store)
    rows = json.loads(store.report(by=["hop", "tenant"], quantiles=[0.99]).to_json())["rows"]
    (row,) = (row for row in rows if row["tenant"] == protocol)
    (quantile,) = row["quantiles"]
    assert (row["vantage"], row["hop"], row["calls"]) == ("metric", "gateway>generator", 2000)
    assert quantile["status"] == "ok"
    assert quantile["value_s"] == pytest.approx(sorted(durations_s)[1979], rel=0.012), "a bucket of scale 6 at most"


@pytest.mark.system
@pytest.mark.xdist_group("collector")
def test_metrics_come_in_protobuf_and_json_on_both_ports_and_count_once(collector: Collector) -> None:
    service = Service()
    service.record([1.0] * 5, **{"tenant.id": "twice"})
    export = service.export()
    document = json.dumps(MessageToDict(parse_metrics(export)))
    with httpx.Client(base_url=f"http://{collector.http}") as http, grpc.insecure_channel(collector.grpc) as channel:
        assert http.post("/v1/metrics", content=export, headers=PROTOBUF).content == b""
        assert http.post("/v1/metrics", content=document, headers={"Content-Type": "application/json"}).json() == {}
        assert channel.unary_unary(METRICS.grpc_path)(export, timeout=30) == b""
        gauge = make_metrics("cpu", gauge={"data_points": [{"time_unix_nano": 1}]}).SerializeToString()
        assert channel.unary_unary(METRICS.grpc_path)(gauge, timeout=30) == b""
        torn = parse_metrics(export)
        torn.resource_metrics[0].scope_metrics[0].metrics[0].exponential_histogram.data_points[0].count += 1
        torn.MergeFromString(gauge)
        answer = channel.unary_unary(METRICS.grpc_path)(torn.SerializeToString(), timeout=30)
        partial = ExportMetricsServiceResponse.FromString(answer).partial_success
        assert (partial.rejected_data_points, partial.error_message) == (
            1,
            "1 of 2 data points rejected: count is not the sum of the buckets (1)",
        )
        assert http.post("/v1/metrics", content=b"garbage", headers=PROTOBUF).status_code == 400
        assert calls_of(collector, "twice") == {"gateway>generator": 5}
        wait_for(lambda: "metric_repeats_total 2.0" in http.get("/metrics").text, what="the move to Parquet", timeout_s=300)
        assert "data_points_passed_over_total 2.0" in http.get("/metrics").text
        assert 'reason="no histogram' not in http.get("/metrics").text
    assert calls_of(collector, "twice") == {"gateway>generator": 5}


@pytest.mark.system
@pytest.mark.xdist_group("collector")
def test_metrics_survive_sigkill_and_count_once(tmp_path: Path) -> None:
    service, chance, recorded = Service(), random.Random(7), 0
    for _ in range(KILLS):
        with running(tmp_path, "--settle", "0") as collector, httpx.Client(base_url=f"http://{collector.http}") as http:
            for _ in range(chance.randrange(1, 30)):
                service.record([0.5 + chance.random()])
                recorded += 1
                assert http.post("/v1/metrics", content=service.export(), headers=PROTOBUF).status_code == 200
                if chance.random() < 0.03:
                    wait_for(lambda: not any(collector.store.glob("wal/*.seg")), what="a step", timeout_s=300)
            collector.kill(all_of_it=chance.random() < 0.5)
        stored = MetricStore(open_files(tmp_path / "store").layout).scan().filter(pl.col("measure") == "bucket").collect()
        assert stored["value"].sum() == recorded
    assert not list((tmp_path / "store" / "damaged").iterdir())
