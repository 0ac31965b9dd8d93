"""The promise: what was acknowledged survives SIGKILL at any moment, and counts once.

MESHSLO_KILLS sets how often the collector is killed (the long form is 200); MESHSLO_KILL_SEED repeats a run.
"""

import os
import random
import threading
from itertools import count
from pathlib import Path

import grpc
import httpx
import polars as pl
import pytest

from meshslo.telemetry.store import open_store
from meshslo.telemetry.store.counted import read_counts
from tests.support.collector import Collector, running
from tests.support.otlp import make_batch, make_span

pytestmark = pytest.mark.system

KILLS = int(os.environ.get("MESHSLO_KILLS", "10"))
SEED = int(os.environ.get("MESHSLO_KILL_SEED", "7"))
SPANS_A_BATCH = 20
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Sender(threading.Thread):
    """Sends batches one after another until stopped; one that got no answer is sent again, as an exporter does."""

    def __init__(self, numbers: "count[int]", protocol: str) -> None:
        super().__init__(daemon=True)
        self._numbers, self._protocol = numbers, protocol
        self._stopping = threading.Event()
        self._collector: Collector | None = None
        self._lost: list[int] = []
        self.acknowledged: set[int] = set()

    def run(self) -> None:
        with httpx.Client(timeout=5, verify=False) as client:
            while not self._stopping.is_set() or self._lost:
                collector, batch = self._collector, self._lost or [next(self._numbers) for _ in range(SPANS_A_BATCH)]
                if collector is not None and self._send(client, collector, make_batch([make_span(n) for n in batch])):
                    self.acknowledged.update(batch)
                    self._lost = []
                    self._stopping.wait(0.01)
                else:
                    self._lost = batch
                    self._stopping.wait(0.2)

    def _send(self, client: httpx.Client, collector: Collector, body: bytes) -> bool:
        try:
            return self._export(client, collector, body)
        except (httpx.TransportError, grpc.RpcError):
            return False

    def _export(self, client: httpx.Client, collector: Collector, body: bytes) -> bool:
        if self._protocol == "http":
            headers = {"Content-Type": "application/x-protobuf"}
            return client.post(f"http://{collector.http}/v1/traces", content=body, headers=headers).status_code == 200
        with grpc.insecure_channel(collector.grpc) as channel:
            return channel.unary_unary(EXPORT)(body, timeout=5) == b""

    def point_at(self, collector: Collector | None) -> None:
        self._collector = collector

    def finish(self) -> None:
        self._stopping.set()
        self.join(timeout=300)
        assert not self.is_alive()


def readable(store: Path) -> list[int]:
    return [int.from_bytes(span, "big") for span in open_store(store).scan().collect()["span_id"]]


def test_what_was_acknowledged_survives_sigkill_and_counts_once(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    numbers = count(1)
    senders = [Sender(numbers, protocol) for protocol in ("grpc", "http", "grpc")]
    for sender in senders:
        sender.start()
    for kill in range(KILLS):
        with running(tmp_path, "--settle", "0.2") as collector:
            for sender in senders:
                sender.point_at(collector)
            threading.Event().wait(chance.uniform(0.0, 1.5))
            collector.kill(all_of_it=chance.random() < 0.5)
            for sender in senders:
                sender.point_at(None)
        acknowledged = set().union(*(sender.acknowledged for sender in senders))
        there = readable(collector.store)
        assert acknowledged <= set(there), f"kill {kill} lost {len(acknowledged - set(there))} spans"
        assert len(there) == len(set(there)), f"kill {kill} repeated spans"
    with running(tmp_path, "--settle", "0.2") as collector:
        for sender in senders:
            sender.point_at(collector)
        for sender in senders:
            sender.finish()
        assert collector.stop() == 0
    acknowledged = set().union(*(sender.acknowledged for sender in senders))
    assert len(acknowledged) >= SPANS_A_BATCH * KILLS, "the senders were starved: nothing was tested"
    assert sorted(readable(collector.store)) == sorted(acknowledged)
    counts = read_counts(open_store(collector.store).layout).filter(pl.col("measure") == "calls")
    assert counts["count"].sum() == len(acknowledged), "the counts of /metrics survive it too"
    assert not list((collector.store / "wal").iterdir())
    assert not list((collector.store / "damaged").iterdir())
    assert "Traceback" not in collector.log.read_text(), "a worker whose collector was killed ends without a word"
