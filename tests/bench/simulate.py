"""What if, over a million calls: a chain of four hops, cut at its entry, replayed under longer timers and with retries."""

import statistics
import time
from typing import Any, Final

import numpy as np
import polars as pl

from meshslo.analysis.simulate import read_mesh, simulate
from meshslo.analysis.simulate.reading import read
from meshslo.telemetry.schema import conform

REQUESTS: Final = 250_000
HOPS: Final = ("ingress>gateway", "gateway>retriever", "retriever>reranker", "gateway>generator")
RUNS: Final = 3
NEEDED_S: Final = 10.0
CAP_S: Final = 6.0
FAILED: Final = 0.03
"""Share of calls that are reset, and repeated by the policies that are tried."""


def calls() -> pl.DataFrame:
    """Traces of four calls each, twenty a second; a timer at the entry cuts one in thirty."""
    rng = np.random.default_rng(0)
    at_s = np.sort(rng.uniform(0, REQUESTS / 20, REQUESTS))
    search_s, stream_s = rng.lognormal(-2, 0.4, REQUESTS), rng.lognormal(0.6, 0.6, REQUESTS)
    whole_s = search_s + stream_s + 0.02
    cut, reset = whole_s > CAP_S, rng.uniform(size=REQUESTS) < FAILED
    none = np.zeros(REQUESTS, bool)
    parts = [
        _hop(0, at_s, np.minimum(whole_s, CAP_S), np.where(cut, "timeout", "ok"), none),
        _hop(1, at_s + 0.005, search_s, np.full(REQUESTS, "ok"), none),
        _hop(2, at_s + 0.007, search_s * 0.8, np.full(REQUESTS, "ok"), none),
        _hop(
            3, at_s + search_s + 0.01, np.where(cut, CAP_S - search_s - 0.01, stream_s), np.where(cut, "cancelled", "ok"), reset
        ),
    ]
    return conform(pl.concat(parts))


def _hop(number: int, at_s: np.ndarray, duration_s: np.ndarray, outcome: np.ndarray, reset: np.ndarray) -> pl.DataFrame:
    caller, callee = HOPS[number].split(">")
    ids = pl.Series(np.arange(REQUESTS)).cast(pl.String)
    start = np.datetime64("2026-11-02T09:00:00", "ns") + (at_s * 1e9).astype("timedelta64[ns]")
    ended = np.where(reset & (outcome == "ok"), "error", outcome)
    return pl.DataFrame(
        {
            "trace_id": ids.str.zfill(16).cast(pl.Binary),
            "span_id": (str(number) + ids.str.zfill(7)).cast(pl.Binary),
            "start": pl.Series(start).dt.replace_time_zone("UTC"),
            "duration_s": np.where(ended == "error", 0.01, duration_s),
            "first_byte_s": pl.Series(np.where(ended == "error", np.nan, 0.01)).fill_nan(None),
            "output_tokens": (duration_s * 50).astype(np.int64) if number == 3 else np.zeros(REQUESTS, np.int64),
            "outcome": ended,
        }
    ).with_columns(
        caller=pl.lit(caller),
        callee=pl.lit(callee),
        hop=pl.lit(HOPS[number]),
        route=pl.lit("/v1/chat"),
        model=pl.lit("m"),
        vantage=pl.lit("proxy_out"),
        streaming=pl.lit(value=True),
        attempt=pl.lit(1),
    )


def policies(timeout: str, retries: int) -> dict[str, str]:
    """Envoy's configuration of all four callees."""
    services = [hop.split(">")[1] for hop in HOPS]
    budget = "{retry_budget: {budget_percent: {value: 20}, min_retry_concurrency: 3}}"
    route = "{match: {prefix: /}, route: {cluster: %s, timeout: %s, retry_policy: {retry_on: '5xx,reset', num_retries: %d}}}"
    hosts = "\n".join(f"- {{name: {s}, domains: ['*'], routes: [{route % (s, timeout, retries)}]}}" for s in services)
    clusters = "\n".join(f"  - {{name: {s}, circuit_breakers: {{thresholds: [{budget}]}}}}" for s in services)
    return {"routes.yaml": f"virtual_hosts:\n{hosts}\n", "clusters.yaml": f"static_resources:\n  clusters:\n{clusters}\n"}


def run() -> dict[str, Any]:
    """Median seconds of reading calls into arrays, and of the whole; the replayed side and today's are both simulated."""
    frame = calls().lazy()
    now, then = read_mesh(policies("6s", 0)), read_mesh(policies("8s", 2))
    reading, whole = [], []
    for _ in range(RUNS):
        began = time.perf_counter()
        read(frame)
        reading.append(time.perf_counter() - began)
        began = time.perf_counter()
        found = simulate(frame, then, current=now)
        whole.append(time.perf_counter() - began)
    retried = found.chain["calls_per_request"]
    return {
        "calls": found.calls,
        "read_s": statistics.median(reading),
        "simulate_s": statistics.median(whole),
        "needed_s": NEEDED_S,
        "calls_per_request_before": retried.before.value,
        "calls_per_request_after": retried.after.value,
    }
