"""A week of Istio's histogram from a real Prometheus: 200 hops, 20 buckets each, a sample a minute; then the report of it.

    .venv/bin/python -m tests.bench.prometheus

The first run makes the week (42 million samples, two minutes of processor time) and keeps it below build/. Of the pull:
seconds on the clock, and of processor time here and in the server.
"""

import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import urllib3
from numpy.typing import NDArray

from meshslo.analysis import open_store
from meshslo.telemetry.prometheus.profiles.istio import PROFILE
from meshslo.telemetry.pull import Ask
from meshslo.telemetry.pull.http import Limits, Server
from meshslo.telemetry.pull.prometheus import PULLER, Settings, parts_of
from meshslo.telemetry.pull.run import pull
from tests.support.prometheus import running

GROUPS = 200
CALLS_A_MINUTE = 30
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
SETTLE_S = 20
"""Prometheus merges the week's blocks when it starts."""
PART = timedelta(hours=2)
"""What is written at a time."""
WEEK = timedelta(days=7)
BY_MINUTE = timedelta(hours=12)
FOLDER = Path("build/bench-prometheus")
EDGES_MS = PROFILE.histograms[0].edges
METRIC = "istio_request_duration_milliseconds"
Counts = NDArray[np.int64]
WRITING = {"Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "0.1.0"}
POOL = urllib3.PoolManager(timeout=300, retries=False)
SAMPLE = np.dtype([("head", "u1", 3), ("value", "<f8"), ("tag", "u1"), ("varint", "u1", 6)])
"""A `Sample` of remote write as the field `samples` of its `TimeSeries`; milliseconds of our days have 41 bits."""


def make_week(folder: Path) -> None:
    """The week, written once to a server that keeps it below `folder`, as an agent would: by remote write, in order of time."""
    if (folder / "done").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    random, before = np.random.default_rng(1), np.zeros((GROUPS, len(EDGES_MS) + 1), dtype=np.int64)
    with running(folder, "", "--web.enable-remote-write-receiver") as url:
        for part in range(WEEK // PART):
            message, before = _part(SINCE + part * PART, random, before)
            body = pa.compress(message, "snappy", asbytes=True)
            answer = POOL.request("POST", f"{url}/api/v1/write", body=body, headers=WRITING)
            if answer.status != 204:
                raise RuntimeError(f"{url} refused a part of the week: {answer.data[:200]!r}")
    (folder / "done").touch()


def _part(since: datetime, random: np.random.Generator, before: Counts) -> tuple[bytes, Counts]:
    """Cumulative counts of every minute of a part, on from `before`; log-normal calls around a second, a tail past a minute."""
    minutes = int(PART.total_seconds() // 60)
    times_ms = (int(since.timestamp()) + 60 * np.arange(minutes)) * 1000
    places = np.searchsorted(EDGES_MS, random.lognormal(np.log(1500), 1.4, (GROUPS, minutes, CALLS_A_MINUTE)))
    each = (places[..., None] == np.arange(len(EDGES_MS) + 1)).sum(axis=2)
    counts = np.cumsum(each, axis=1) + before[:, None]
    through = np.cumsum(counts, axis=2)
    message = b"".join(one for group in range(GROUPS) for one in _series(group, through[group], times_ms))
    return message, counts[:, -1]


def _series(group: int, through: Counts, times_ms: Counts) -> Iterator[bytes]:
    """A histogram's series, each as the field `timeseries` of a `WriteRequest`."""
    labels = {
        "source_workload": f"a{group}",
        "destination_workload": f"b{group}",
        "reporter": "source",
        "response_code": "200",
        "response_flags": "-",
        "instance": "x",
        "job": "istio",
    }
    for place, edge in enumerate([*(f"{edge:g}" for edge in EDGES_MS), "+Inf"]):
        yield _one({**labels, "__name__": f"{METRIC}_bucket", "le": edge}, through[:, place], times_ms)
    yield _one({**labels, "__name__": f"{METRIC}_count"}, through[:, -1], times_ms)


def _one(labels: dict[str, str], values: Counts, times_ms: Counts) -> bytes:
    named = b"".join(_field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in sorted(labels.items()))
    samples = np.empty(len(values), dtype=SAMPLE)
    samples["head"], samples["value"], samples["tag"] = (0x12, 0x10, 0x09), values, 0x10
    samples["varint"] = (times_ms[:, None] >> 7 * np.arange(6)) & 0x7F | np.array([0x80] * 5 + [0])
    return _field(1, named + samples.tobytes())


def _field(number: int, content: bytes) -> bytes:
    """A field of protobuf that holds bytes."""
    return bytes([number << 3 | 2, *_varint(len(content))]) + content


def _varint(number: int) -> Iterator[int]:
    while number > 0x7F:
        yield number & 0x7F | 0x80
        number >>= 7
    yield number


def run() -> dict[str, dict[str, float]]:
    """What the pull and the report take: of the week with the step chosen by itself, of its last hours by the minute."""
    make_week(FOLDER)
    with running(FOLDER, "") as url:
        time.sleep(SETTLE_S)
        return {"week": measured(url, WEEK, "auto"), "by_minute": measured(url, BY_MINUTE, "60s")}


def measured(url: str, length: timedelta, step: str) -> dict[str, float]:
    """The figures of one window, which ends with the week, and one length of step."""
    server = Server(url, limits=Limits(timeout_s=300))
    until = SINCE + WEEK - timedelta(minutes=1)
    ask = Ask(server, max(SINCE, until - length), until, Settings(step=step))
    with tempfile.TemporaryDirectory() as name:
        cpu_s, server_cpu_s = time.process_time(), server_cpu(server)
        took_s, pulled = seconds(lambda: pull(PULLER, ask, Path(name) / "store", now=datetime.now(UTC)))
        cpu_s, server_cpu_s = time.process_time() - cpu_s, server_cpu(server) - server_cpu_s
        report_s, told = seconds(lambda: open_store(Path(name) / "store").report(by=["hop"]))
        size_bytes = sum(path.stat().st_size for path in Path(name).rglob("*.parquet"))
    steps = parts_of(ask.since, ask.until, step)
    return {
        "pull_s": took_s,
        "pull_cpu_s": cpu_s,
        "server_cpu_s": server_cpu_s,
        "report_s": report_s,
        "together_s": took_s + report_s,
        "step_s": float(steps[0].step_s),
        "points": float(sum(part.count for part in steps) * GROUPS * (len(EDGES_MS) + 1)),
        "rows": pulled.series,
        "mib_on_disk": size_bytes / 2**20,
        "calls": float(told.frame["calls"].sum() // 2),
        "hops": told.frame["hop"].n_unique(),
    }


def server_cpu(server: Server) -> float:
    """Seconds of processor time that the server has used so far, as it says itself."""
    text = server.get("/metrics", accept="text/plain").body.decode()
    return float(re.search(r"^process_cpu_seconds_total (\S+)", text, re.MULTILINE)[1])


def seconds(work: Callable[[], object]) -> tuple[float, object]:
    """Seconds on the clock, and what came out."""
    begin = time.perf_counter()
    done = work()
    return time.perf_counter() - begin, done


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
