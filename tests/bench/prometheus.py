"""A week of Istio's histogram from a real Prometheus: 200 hops, 20 buckets each, a sample a minute; then the report of it.

    .venv/bin/python -m tests.bench.prometheus

The first run makes the week (40 million samples, some minutes) and keeps it below build/. Of the pull: seconds on the clock,
and of processor time here and in the server.
"""

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from meshslo.analysis import open_store
from meshslo.telemetry.prometheus.profiles.istio import PROFILE
from meshslo.telemetry.pull import Ask
from meshslo.telemetry.pull.http import Limits, Server
from meshslo.telemetry.pull.prometheus import PULLER, Settings, parts_of
from meshslo.telemetry.pull.run import pull
from tests.support.prometheus import binary, running

GROUPS = 200
CALLS_A_MINUTE = 30
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
SETTLE_S = 20
"""Prometheus merges the week's blocks when it starts."""
PART = timedelta(hours=2)
"""What promtool makes one block of: it reads a file once a block."""
WEEK = timedelta(days=7)
FOLDER = Path("build/bench-prometheus")
EDGES_MS = PROFILE.histograms[0].edges


def make_week(folder: Path) -> None:
    """The week's blocks, once."""
    if (folder / "done").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    random, before = np.random.default_rng(1), np.zeros((GROUPS, len(EDGES_MS) + 1), dtype=np.int64)
    for part in range(WEEK // PART):
        text = folder / "part.om"
        before = _write_part(text, SINCE + part * PART, random, before)
        tool = [binary("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(text), str(folder / "data")]
        subprocess.run(tool, check=True, capture_output=True)
        text.unlink()
    (folder / "done").touch()


def _write_part(path: Path, since: datetime, random: np.random.Generator, before: np.ndarray) -> np.ndarray:
    """Cumulative counts of every minute of a part, on from `before`; log-normal calls around a second, a tail past a minute."""
    minutes = int(PART.total_seconds() // 60)
    times = [int(since.timestamp()) + 60 * minute for minute in range(minutes)]
    with path.open("w") as file:
        file.write("# TYPE istio_request_duration_milliseconds histogram\n")
        for group in range(GROUPS):
            drawn = random.lognormal(np.log(1500), 1.4, (minutes, CALLS_A_MINUTE))
            place = np.searchsorted(EDGES_MS, drawn)
            each = np.apply_along_axis(np.bincount, 1, place, minlength=len(EDGES_MS) + 1)
            counts = np.cumsum(each, axis=0) + before[group]
            before[group] = counts[-1]
            file.writelines(_lines(group, np.cumsum(counts, axis=1), times))
        file.write("# EOF\n")
    return before


def _lines(group: int, through: np.ndarray, times: list[int]) -> Iterator[str]:
    name = "istio_request_duration_milliseconds"
    labels = (
        f'reporter="source",source_workload="a{group}",destination_workload="b{group}",response_code="200",'
        'response_flags="-",instance="x",job="istio"'
    )
    for place, edge in enumerate([*(f"{edge:g}" for edge in EDGES_MS), "+Inf"]):
        head = f'{name}_bucket{{{labels},le="{edge}"}} '
        yield "".join(f"{head}{value} {at}\n" for value, at in zip(through[:, place].tolist(), times, strict=True))
    yield "".join(f"{name}_count{{{labels}}} {value} {at}\n" for value, at in zip(through[:, -1].tolist(), times, strict=True))


def run() -> dict[str, dict[str, float]]:
    """What the pull and the report take, with the step chosen by itself and with a minute."""
    make_week(FOLDER)
    with running(FOLDER, "") as url:
        time.sleep(SETTLE_S)
        return {step: measured(url, step) for step in ("auto", "60s")}


def measured(url: str, step: str) -> dict[str, float]:
    """The figures of one length of step."""
    server = Server(url, limits=Limits(timeout_s=300))
    ask = Ask(server, SINCE, SINCE + WEEK - timedelta(minutes=1), Settings(step=step))
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
