"""What an operator sees: /metrics of a running collector, and what it does when the disk is full."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from google.rpc.status_pb2 import Status
from prometheus_client.parser import text_string_to_metric_families

from meshslo.telemetry.store import open_store
from tests.support.collector import Collector, running
from tests.support.net import wait_for
from tests.support.otlp import make_batch, make_span
from tests.support.rounds import ROUNDS
from tests.support.shared import absent

pytestmark = pytest.mark.system
PROTOBUF = {"Content-Type": "application/x-protobuf"}
MIB = 2**20


def send(collector: Collector, body: bytes) -> httpx.Response:
    return collector.client.post("/v1/traces", content=body, headers=PROTOBUF)


def metrics(collector: Collector) -> dict[str, float]:
    text = collector.client.get("/metrics").text
    return {
        sample.name.removeprefix("meshslo_collector_") + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_tell_what_came_in_and_what_became_of_it(tmp_path: Path) -> None:
    with running(tmp_path, "--settle", "0") as collector:
        batch = make_batch([make_span(1), make_span(2), make_span(3, end_time_unix_nano=0)])
        send(collector, batch)
        send(collector, batch)
        send(collector, b"garbage")
        seen = metrics(collector)
        assert (seen["batches_total"], seen["spans_received_total"]) == (2, 4)
        assert seen["spans_rejected_total[end_time_unix_nano is missing]"] == 2
        assert seen["requests_refused_total[bad data]"] == 1
        assert seen["fsync_seconds_count"] == 2
        assert seen["log_bytes_total"] > 2 * len(batch)
        assert seen["disk_free_bytes"] > 0
        wait_for(lambda: metrics(collector)["backlog_segments"] == 0, what="the move to Parquet", timeout_s=300)
        wait_for(lambda: metrics(collector)["duplicates_total"] == 2, what="the worker's word", timeout_s=300)
        seen = metrics(collector)
        assert seen["rows_total"] == 2
        assert (seen["lag_seconds"], seen["backlog_bytes"], seen["worker_restarts_total"]) == (0, 0, 0)
        openmetrics = {"Accept": "application/openmetrics-text; version=1.0.0"}
        answer = collector.client.get("/metrics", headers=openmetrics)
        assert collector.stop() == 0
        stopped = collector.events[-1]
        assert (stopped["event"], stopped["rows"], stopped["duplicates"]) == ("stopped", 2, 2)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 16 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "meshslo-test", str(folder)], capture_output=True)
    if mounted.returncode:
        absent("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, leave_bytes: int) -> Path:
    """Take all but `leave_bytes` of a file system."""
    ballast = folder / "ballast"
    free = os.statvfs(folder)
    ballast.write_bytes(bytes(free.f_bavail * free.f_frsize - leave_bytes))
    return ballast


@pytest.mark.parametrize("min_free_mib", [4, 0], ids=["room is left", "to the brim"])
def test_a_full_disk_makes_senders_wait_loses_nothing_and_mends_itself(small_disk: Path, min_free_mib: int) -> None:
    options = ("--min-free-mib", str(min_free_mib), "--settle", "0")
    kept: list[int] = []
    with running(small_disk, *options) as collector:
        for begin in range(0, 1000 * ROUNDS, 1000):
            # Bulky and hard to squeeze, so that the disk is soon full.
            bulk = [make_batch([make_span(begin + n, name=os.urandom(100_000).hex())]) for n in range(1, 50)]
            # Little enough that the worker cannot make room as fast as even a slow machine sends.
            ballast = fill(small_disk, (min_free_mib + 2) * MIB)
            answers = [send(collector, body) for body in bulk]
            kept += [begin + n for n, answer in enumerate(answers, 1) if answer.status_code == 200]
            assert {answer.status_code for answer in answers} == {200, 429}
            refusal = next(answer for answer in answers if answer.status_code == 429)
            assert refusal.headers["retry-after"] == "2"
            assert "send it again later" in Status.FromString(refusal.content).message
            ballast.unlink()
            again = make_batch([make_span(begin + 1000)])
            wait_for(lambda body=again: send(collector, body).status_code == 200, what="taking it up again", timeout_s=300)
            kept.append(begin + 1000)
            assert readable(collector.store) == kept
            wait_for(lambda: metrics(collector)["backlog_segments"] == 0, what="the move to Parquet", timeout_s=300)
            assert readable(collector.store) == kept
        assert metrics(collector)["log_failures_total"] >= ROUNDS
        assert collector.stop() == 0


def readable(store: Path) -> list[int]:
    return sorted(int.from_bytes(span, "big") for span in open_store(store).scan().collect()["span_id"])


def test_metrics_count_the_stored_calls_right_across_a_kill(tmp_path: Path) -> None:
    def calls_and_buckets(collector: Collector) -> tuple[float, list[float]]:
        text = collector.client.get("/metrics").text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        buckets = [sample for sample in samples if sample.name == "meshslo_call_seconds_bucket"]
        assert all(sample.labels["hop"] == "ingress>generator" for sample in buckets)
        wanted = [
            sample.value for sample in buckets if sample.labels["phase"] == "total" and sample.labels["le"] in ("0.5", "1.0")
        ]
        return sum(sample.value for sample in samples if sample.name == "meshslo_calls_total"), wanted

    with running(tmp_path, "--settle", "0") as collector:
        send(collector, make_batch([make_span(1), make_span(2)]))
        wait_for(lambda: calls_and_buckets(collector) == (2, [0, 2]), what="counting two calls", timeout_s=300)
        send(collector, make_batch([make_span(3)]))
        collector.kill()
    with running(tmp_path, "--settle", "0") as collector:
        wait_for(lambda: calls_and_buckets(collector) == (3, [0, 3]), what="counting the third after the kill", timeout_s=300)
        openmetrics = collector.client.get("/metrics", headers={"Accept": "application/openmetrics-text"}).text
    assert f'# {{trace_id="{(3).to_bytes(16, "big").hex()}"}} 1.0' in openmetrics
