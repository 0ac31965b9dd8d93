"""The collector under load: spans a second acknowledged durably, and through to Parquet, beside what bounds them.

    .venv/bin/python -m tests.bench.collector [BURST_S SUSTAINED_S]

500 spans a batch, 12 attributes a span, the sender on the same machine. In the same run: the same server answering without
storing, and appending the same bytes with an fsync each.
"""

import asyncio
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import grpc.aio
import numpy as np

from meshslo.telemetry.collect.intake import Intake
from meshslo.telemetry.collect.otlp_grpc import grpc_server
from meshslo.telemetry.collect.settings import Address, CollectSettings
from meshslo.telemetry.collect.traces import TRACES
from meshslo.telemetry.store import open_store
from meshslo.telemetry.store.journal import Journal
from meshslo.telemetry.store.segments import all_segments
from tests.support.collector import running
from tests.support.otlp import make_request, make_span

SPANS_A_BATCH = 500
IN_FLIGHT = 8
ATTRIBUTES: dict[str, Any] = {
    "http.request.method": "POST",
    "http.route": "/v1/chat/completions",
    "http.response.status_code": 200,
    "server.address": "generator.prod.svc",
    "tenant.id": "acme",
    "gen_ai.request.model": "large",
    "gen_ai.usage.output_tokens": 321,
    "meshslo.stream.first_token_s": 0.25,
    "meshslo.stream.max_gap_s": 0.125,
    "meshslo.stream.chunks": 300,
    "meshslo.outcome": "ok",
    "meshslo.caller": "gateway",
}


def batch() -> bytes:
    """One export; its ids are placeholders that `fresh` overwrites."""
    now_ns = time.time_ns()
    times = {"start_time_unix_nano": now_ns - 10**9, "end_time_unix_nano": now_ns}
    spans = [make_span(**times, trace_id=b"T" * 16, span_id=b"S" * 8) for _ in range(SPANS_A_BATCH)]
    for span in spans:
        for key, value in ATTRIBUTES.items():
            setattr(
                span.attributes.add(key=key).value,
                {str: "string_value", int: "int_value", float: "double_value"}[type(value)],
                value,
            )
    return make_request(spans).SerializeToString()


def fresh(seed: int) -> Iterator[bytes]:
    """Batches without end whose ids occur once."""
    chance = np.random.default_rng(seed)
    payload = np.frombuffer(batch(), dtype=np.uint8).copy()
    raw = payload.tobytes()
    traces, spans = (_places(raw, mark)[:, None] + np.arange(len(mark)) for mark in (b"T" * 16, b"S" * 8))
    while True:
        payload[traces] = chance.integers(0, 256, traces.shape, dtype=np.uint8)
        payload[spans] = chance.integers(0, 256, spans.shape, dtype=np.uint8)
        yield payload.tobytes()


def _places(raw: bytes, mark: bytes) -> Any:
    places, at = [], raw.find(mark)
    while at >= 0:
        places.append(at)
        at = raw.find(mark, at + len(mark))
    return np.array(places)


def send(address: str, seconds: float, seed: int, told: Any) -> None:
    """Keep IN_FLIGHT batches under way for `seconds`; puts (acknowledged spans, seconds taken)."""
    told.put(asyncio.run(_send(address, seconds, seed)))


async def _send(address: str, seconds: float, seed: int) -> tuple[int, float]:
    batches, acknowledged = fresh(seed), 0
    async with grpc.aio.insecure_channel(address) as channel:
        export = channel.unary_unary(TRACES.grpc_path)
        began_s = time.monotonic()

        async def one_after_another() -> None:
            nonlocal acknowledged
            while time.monotonic() - began_s < seconds:
                try:
                    await cast("Awaitable[bytes]", export(next(batches)))
                    acknowledged += SPANS_A_BATCH
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                        raise
                    await asyncio.sleep(0.05)

        await asyncio.gather(*(one_after_another() for _ in range(IN_FLIGHT)))
    return acknowledged, time.monotonic() - began_s


def loaded(address: str, seconds: float, watch: Callable[[], None] = lambda: None) -> tuple[int, float]:
    """Acknowledged spans and seconds of a sender in its own process; `watch` is called meanwhile."""
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    sender = context.Process(target=send, args=(address, seconds, time.time_ns() % 2**32, told))
    sender.start()
    while sender.is_alive() and told.empty():
        watch()
        time.sleep(0.1)
    acknowledged, took_s = told.get()
    sender.join()
    return int(acknowledged), float(took_s)


def not_stored(seconds: float) -> float:
    """Spans a second of the same server when it answers without storing."""
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    server = context.Process(target=_serve_without_storing, args=(told,), daemon=True)
    server.start()
    spans, took_s = loaded(told.get(timeout=60), seconds)
    server.terminate()
    server.join()
    return spans / took_s


def _serve_without_storing(told: Any) -> None:
    done: Future[None] = Future()
    done.set_result(None)
    intake = Intake(cast("Journal", SimpleNamespace(append=lambda *_: done)))

    async def serve() -> None:
        server, port = grpc_server(intake, CollectSettings(Path(), grpc=Address("127.0.0.1", 0)))
        await server.start()
        told.put(f"127.0.0.1:{port}")
        await server.wait_for_termination()

    asyncio.run(serve())


def appended(folder: Path, seconds: float) -> float:
    """Spans a second of appending the same bytes to a file with an fsync each."""
    batches, spans = fresh(1), 0
    with (folder / "raw").open("wb", buffering=0) as file:
        began_s = time.monotonic()
        while time.monotonic() - began_s < seconds:
            file.write(next(batches))
            os.fdatasync(file.fileno())
            spans += SPANS_A_BATCH
        return spans / (time.monotonic() - began_s)


def resident_mib(pid: int) -> float:
    """Resident memory of a process and its children, what they share counted once."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    rollups = [Path(f"/proc/{one}/smaps_rollup").read_text() for one in (pid, *children)]
    return sum(int(text.split("Pss:")[1].split()[0]) for text in rollups) / 1024


def stored(folder: Path, seconds: float) -> dict[str, float]:
    """Rates of a real collector: acknowledged while sending, and until every call is in Parquet."""
    peak_mib = 0.0
    with running(folder, "--settle", "2", "--max-message-mib", "20") as collector:

        def watch() -> None:
            nonlocal peak_mib
            peak_mib = max(peak_mib, resident_mib(collector.process.pid))

        began_s = time.monotonic()
        spans, took_s = loaded(collector.grpc, seconds, watch)
        layout = open_store(collector.store).layout
        while all_segments(layout):
            watch()
            time.sleep(0.1)
        through_s = time.monotonic() - began_s
        collector.stop()
    rows = open_store(folder / "store").scan().collect().height
    assert rows == spans, f"{spans} acknowledged, {rows} stored"
    return {"acknowledged_per_s": spans / took_s, "queryable_per_s": spans / through_s, "peak_mib": peak_mib}


def run(burst_s: float = 10.0, sustained_s: float = 60.0) -> dict[str, float]:
    """All rates in spans a second, memory in MiB."""
    with tempfile.TemporaryDirectory(prefix="meshslo-bench-") as name:
        folder = Path(name)
        (folder / "burst").mkdir()
        (folder / "sustained").mkdir()
        raw, bare = appended(folder, 3.0), not_stored(min(burst_s, 5.0))
        burst, sustained = stored(folder / "burst", burst_s), stored(folder / "sustained", sustained_s)
    return {
        "burst_acknowledged_per_s": burst["acknowledged_per_s"],
        "sustained_queryable_per_s": sustained["queryable_per_s"],
        "sustained_acknowledged_per_s": sustained["acknowledged_per_s"],
        "not_stored_per_s": bare,
        "share_of_not_stored": burst["acknowledged_per_s"] / bare,
        "append_and_fsync_per_s": raw,
        "peak_rss_mib": max(burst["peak_mib"], sustained["peak_mib"]),
    }


if __name__ == "__main__":
    print(json.dumps(run(*map(float, sys.argv[1:])), indent=2))
