"""The collector under load: spans a second acknowledged durably, and through to Parquet, beside what bounds them.

    .venv/bin/python -m tests.bench.collector [BURST_S SUSTAINED_S]

500 spans a batch, 12 attributes a span, the sender on the same machine. In the same run: the same server answering without
storing, and appending the same bytes with an fsync each. In the burst the sender sends all it can; for the sustained rate it
waits while more than MAX_BACKLOG_BYTES are on their way to Parquet, which are several of the worker's steps: with fewer, sender
and worker would take turns. What is left in the log at the end is waited for and counts, so that queueing gains nothing.
"""

import asyncio
import contextlib
import json
import multiprocessing
import os
import struct
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, cast

import grpc
import grpc.aio
import numpy as np
import polars as pl

from meshslo.telemetry.collect.intake import Intake
from meshslo.telemetry.collect.otlp_grpc import grpc_server
from meshslo.telemetry.collect.settings import Address, CollectSettings
from meshslo.telemetry.collect.traces import TRACES
from meshslo.telemetry.store import open_store
from meshslo.telemetry.store.journal import Journal
from meshslo.telemetry.store.segments import all_segments
from tests.support.collector import Collector, running
from tests.support.otlp import make_request, make_span

SPANS_A_BATCH = 500
IN_FLIGHT = 8
MAX_BACKLOG_BYTES = 192 * 2**20
ATTRIBUTES: dict[str, Any] = {
    "http.request.method": "POST",
    "http.route": "/v1/chat/completions",
    "http.response.status_code": 200,
    "server.address": "generator.prod.svc",
    "tenant.id": "acme",
    "gen_ai.request.model": "large",
    "gen_ai.usage.output_tokens": 321,
    "meshslo.stream.first_token_s": struct.unpack("<d", b"FFFFFF\xd0\x3f")[0],
    "meshslo.stream.max_gap_s": struct.unpack("<d", b"GGGGGG\xc0\x3f")[0],
    "meshslo.stream.chunks": 300,
    "meshslo.outcome": "ok",
    "meshslo.caller": "gateway",
}


OWN: Final = (b"T" * 16, b"S" * 8, b"F" * 6, b"G" * 6)
"""Marks of what each span has of its own: its ids, the digits of its first token (0.25 to 0.5 s) and longest gap."""
START: Final = b"A" * 8
END: Final = b"B" * 8
"""Marks of the times, which those of a batch have in common."""


def batch() -> bytes:
    """One export, with the marks that `fresh` overwrites."""
    start_ns, end_ns = (int.from_bytes(mark, "little") for mark in (START, END))
    span = make_span(start_time_unix_nano=start_ns, end_time_unix_nano=end_ns, trace_id=OWN[0], span_id=OWN[1])
    spans = [deepcopy(span) for _ in range(SPANS_A_BATCH)]
    for span in spans:
        for key, value in ATTRIBUTES.items():
            setattr(
                span.attributes.add(key=key).value,
                {str: "string_value", int: "int_value", float: "double_value"}[type(value)],
                value,
            )
    return make_request(spans).SerializeToString()


def fresh(seed: int) -> Iterator[bytes]:
    """Batches without end, no span like another."""
    chance = np.random.default_rng(seed)
    payload = np.frombuffer(batch(), dtype=np.uint8).copy()
    raw = payload.tobytes()
    own = np.concatenate([_places(raw, mark).ravel() for mark in OWN])
    start, end = _places(raw, START), _places(raw, END)
    while True:
        payload[own] = chance.integers(0, 256, own.shape, dtype=np.uint8)
        now_ns = time.time_ns()
        payload[start], payload[end] = _bytes_of(now_ns - 10**9), _bytes_of(now_ns)
        yield payload.tobytes()


def _places(raw: bytes, mark: bytes) -> Any:
    """Where the bytes of `mark` are, a row each time that it occurs."""
    places, at = [], raw.find(mark)
    while at >= 0:
        places.append(at)
        at = raw.find(mark, at + len(mark))
    return np.array(places)[:, None] + np.arange(len(mark))


def _bytes_of(time_ns: int) -> Any:
    return np.frombuffer(time_ns.to_bytes(8, "little"), dtype=np.uint8)


@dataclass(frozen=True)
class Load:
    """Batches to `address` for `seconds`, IN_FLIGHT under way; with `wal`, none while more than the limit waits there."""

    address: str
    seconds: float
    wal: Path | None = None


def send(load: Load, seed: int, told: Any) -> None:
    """Put (acknowledged spans, seconds taken, CPU seconds) of `load`."""
    began_s = time.process_time()
    told.put((*asyncio.run(_send(load, seed)), time.process_time() - began_s))


async def _send(load: Load, seed: int) -> tuple[int, float]:
    batches, acknowledged = fresh(seed), 0
    async with grpc.aio.insecure_channel(load.address) as channel:
        export = channel.unary_unary(TRACES.grpc_path)
        began_s = time.monotonic()
        may_send = asyncio.Event()
        may_send.set()

        async def one_after_another() -> None:
            nonlocal acknowledged
            while time.monotonic() - began_s < load.seconds:
                await may_send.wait()
                try:
                    await cast("Awaitable[bytes]", export(next(batches)))
                    acknowledged += SPANS_A_BATCH
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                        raise
                    await asyncio.sleep(0.05)

        async def hold_back(wal: Path) -> None:
            while True:
                (may_send.clear if backlog_bytes(wal) > MAX_BACKLOG_BYTES else may_send.set)()
                await asyncio.sleep(0.05)

        holding = asyncio.create_task(hold_back(load.wal)) if load.wal else None
        await asyncio.gather(*(one_after_another() for _ in range(IN_FLIGHT)))
        if holding is not None:
            holding.cancel()
    return acknowledged, time.monotonic() - began_s


def backlog_bytes(wal: Path) -> int:
    """Bytes of the log that are not in Parquet."""
    sizes = []
    for entry in os.scandir(wal):
        with contextlib.suppress(FileNotFoundError):
            sizes.append(entry.stat().st_size)
    return sum(sizes)


class Sent(NamedTuple):
    """What a sender got acknowledged, how long it took, and the CPU seconds that it needed itself."""

    spans: int
    took_s: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        """Spans a second."""
        return self.spans / self.took_s


def loaded(load: Load, watch: Callable[[], None] = lambda: None) -> Sent:
    """What a sender in its own process achieves; `watch` is called meanwhile."""
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    sender = context.Process(target=send, args=(load, time.time_ns() % 2**32, told))
    sender.start()
    while sender.is_alive() and told.empty():
        watch()
        time.sleep(0.1)
    sent = Sent(*told.get(timeout=60))
    sender.join()
    return sent


def not_stored(seconds: float) -> float:
    """Spans a second of the same server when it answers without storing."""
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    server = context.Process(target=_serve_without_storing, args=(told,), daemon=True)
    server.start()
    sent = loaded(Load(told.get(timeout=60), seconds))
    server.terminate()
    server.join()
    return sent.per_s


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


def burst(folder: Path, seconds: float) -> tuple[Sent, "Watch"]:
    """What a real collector acknowledges while Parquet is made beside it; what is left in its log is left."""
    with running(folder, "--settle", "2") as collector:
        watch = Watch(collector)
        sent = loaded(Load(collector.grpc, seconds), watch.look)
        collector.kill()
    return sent, watch


def sustained(folder: Path, seconds: float) -> tuple[Sent, "Watch"]:
    """What goes through to Parquet, in the time from the first batch until every call is there."""
    with running(folder, "--settle", "2") as collector:
        layout = open_store(collector.store).layout
        watch = Watch(collector)
        began_s = time.monotonic()
        sent = loaded(Load(collector.grpc, seconds, layout.wal), watch.look)
        while all_segments(layout):
            watch.look()
            time.sleep(0.1)
        through_s = time.monotonic() - began_s
        collector.stop()
    rows = open_store(folder / "store").scan().select(pl.len()).collect().item()
    assert rows == sent.spans, f"{sent.spans} acknowledged, {rows} stored"
    return sent._replace(took_s=through_s), watch


class Watch:
    """Looks at the processes of a collector: the most memory and the longest lag that was seen, and the CPU time since."""

    def __init__(self, collector: Collector) -> None:
        self._layout = open_store(collector.store).layout
        pid = collector.process.pid
        worker = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        self._pids = {"receiver": pid, "worker": worker}
        self._began_s = {name: _cpu_s(pid) for name, pid in self._pids.items()}
        self.cpu_s = dict.fromkeys(self._pids, 0.0)
        self.resident_mib = 0.0
        """What the processes share is counted once."""
        self.lag_s = 0.0
        """Age of the oldest segment of the log."""

    def look(self) -> None:
        """Take note of how it stands now."""
        rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self._pids.values()]
        resident_mib = sum(int(text.split("Pss:")[1].split()[0]) for text in rollups) / 1024
        self.resident_mib = max(self.resident_mib, resident_mib)
        self.cpu_s = {name: _cpu_s(pid) - self._began_s[name] for name, pid in self._pids.items()}
        waiting = all_segments(self._layout)
        if waiting:
            self.lag_s = max(self.lag_s, time.time() - int(waiting[0].name.split("-")[0]) / 1e9)


def _cpu_s(pid: int) -> float:
    """CPU seconds that a process has used. Source: proc_pid_stat(5), fields 14 and 15."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def run(burst_s: float = 10.0, sustained_s: float = 60.0) -> dict[str, float]:
    """Rates in spans a second, memory in MiB, CPU seconds per million spans of the sustained load.

    Takes the two times and about 30 seconds more.
    """
    with tempfile.TemporaryDirectory(prefix="meshslo-bench-") as name:
        folder = Path(name)
        (folder / "burst").mkdir()
        (folder / "sustained").mkdir()
        raw, bare = appended(folder, 3.0), not_stored(min(burst_s, 5.0))
        fast, fast_watch = burst(folder / "burst", burst_s)
        steady, watch = sustained(folder / "sustained", sustained_s)
    return {
        "burst_acknowledged_per_s": fast.per_s,
        "sustained_queryable_per_s": steady.per_s,
        "sustained_longest_lag_s": watch.lag_s,
        "not_stored_per_s": bare,
        "share_of_not_stored": fast.per_s / bare,
        "append_and_fsync_per_s": raw,
        "peak_rss_mib": max(fast_watch.resident_mib, watch.resident_mib),
        **{
            f"{name}_cpu_s_per_million": 1e6 * cpu_s / steady.spans
            for name, cpu_s in {"sender": steady.cpu_s, **watch.cpu_s}.items()
        },
    }


if __name__ == "__main__":
    print(json.dumps(run(*map(float, sys.argv[1:])), indent=2))
