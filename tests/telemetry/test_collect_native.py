"""The collector's own /metrics as a real Prometheus takes it: native histograms beside the classic ones, in protobuf."""

import json
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meshslo.telemetry.collect.exposition import PROTOBUF
from tests.support.collector import Collector, running
from tests.support.net import wait_for
from tests.support.otlp import START_NS, make_batch, make_span
from tests.support.prometheus import scraping

pytestmark = pytest.mark.system

DURATIONS_S = np.random.default_rng(3).lognormal(0.5, 0.8, 400)


def send(collector: Collector, durations_s: np.ndarray) -> None:
    spans = [make_span(end_time_unix_nano=START_NS + int(one * 1e9)) for one in durations_s]
    headers = {"Content-Type": "application/x-protobuf"}
    assert collector.client.post("/v1/traces", content=make_batch(spans), headers=headers).status_code == 200


def ask(url: str, query: str) -> dict[str, float]:
    """Values of an instant query, by metric name."""
    with urllib.request.urlopen(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}", timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return {one["metric"].get("__name__", ""): float(one["value"][1]) for one in found if "value" in one}


def test_native_and_classic_histograms_of_the_same_calls(tmp_path: Path) -> None:
    with running(tmp_path, "--settle", "0") as collector:
        send(collector, DURATIONS_S[:100])
        port = int(collector.http.rpartition(":")[2])
        with scraping(tmp_path, port) as url:
            counted = 'histogram_count(meshslo_call_native_seconds{phase="total"})'
            wait_for(lambda: ask(url, counted) == {"": 100}, what="the first calls being scraped", timeout_s=300)
            send(collector, DURATIONS_S[100:])
            wait_for(lambda: ask(url, counted) == {"": 400}, what="all calls being scraped", timeout_s=300)
            assert ask(url, 'histogram_sum(meshslo_call_native_seconds{phase="total"})')[""] == pytest.approx(DURATIONS_S.sum())
            for q in (0.5, 0.9, 0.99):
                native = ask(url, f'histogram_quantile({q}, meshslo_call_native_seconds{{phase="total"}})')[""]
                true = float(np.quantile(DURATIONS_S, q, method="inverted_cdf"))
                assert native == pytest.approx(true, rel=2 ** (1 / 8) - 1), f"within a bucket of base 2 ** (1/8) at q={q}"
            assert ask(url, 'meshslo_call_seconds_bucket{phase="total",le="2.5"}') == {
                "meshslo_call_seconds_bucket": float((DURATIONS_S <= 2.5).sum())
            }
            told = ask(
                url,
                '{__name__=~"meshslo_calls_total|meshslo_collector_(spans_received_total|lag_seconds|fsync_seconds_count)"}',
            )
            assert told["meshslo_calls_total"] == 400
            assert told["meshslo_collector_spans_received_total"] == 400
            assert told["meshslo_collector_fsync_seconds_count"] == 2
            assert "meshslo_collector_lag_seconds" in told
        assert "native" not in collector.client.get("/metrics").text, "who asks for text gets text without them"
        asked = collector.client.get("/metrics", headers={"Accept": f"{PROTOBUF};q=0.7,text/plain;version=0.0.4;q=0.3"})
        assert asked.headers["content-type"] == PROTOBUF
