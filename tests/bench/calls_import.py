"""Calls into a store: rows a second from CSV, JSON Lines, Parquet and a frame in memory, to durable Parquet by hour.

    .venv/bin/python -m tests.bench.calls_import [ROWS]

Beside each: the seconds that Polars takes to read the same file into text columns and do nothing with it.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from meshslo.telemetry.sources.frames import calls_of_frame
from meshslo.telemetry.sources.inputs import Input
from meshslo.telemetry.sources.load import load
from meshslo.telemetry.store import open_store

ROWS = 1_000_000
HOUR_NS = 3_600_000_000_000


def calls(rows: int) -> pl.DataFrame:
    """An hour of a chain's calls as a per-request log has them: ten columns, no ids."""
    random = np.random.default_rng(1)
    duration_s = random.lognormal(0, 1, rows)
    moments = pl.Series(1_793_610_000_000_000_000 + (random.random(rows) * HOUR_NS).astype(np.int64))
    return pl.DataFrame(
        {
            "start": pl.from_epoch(moments, time_unit="ns").dt.replace_time_zone("UTC"),
            "duration_s": duration_s.round(6),
            "first_token_s": (random.random(rows) * duration_s).round(6),
            "caller": "gateway",
            "callee": random.choice(["retriever", "reranker", "generator"], rows),
            "route": "/v1/chat/completions",
            "model": random.choice(["small", "large"], rows),
            "tenant": random.choice([f"tenant-{number}" for number in range(20)], rows),
            "status_code": 200,
            "output_tokens": random.integers(1, 500, rows),
        }
    )


def write(frame: pl.DataFrame, folder: Path) -> dict[str, Path]:
    """The frame as a file of each form."""
    paths = {form: folder / f"calls.{form}" for form in ("csv", "jsonl", "parquet")}
    text = frame.with_columns(pl.col("start").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
    text.write_csv(paths["csv"])
    text.write_ndjson(paths["jsonl"])
    frame.write_parquet(paths["parquet"])
    return paths


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """(seconds on the clock, seconds of processor time of all threads)."""
    begin, begin_cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begin, time.process_time() - begin_cpu


def run(rows: int = ROWS) -> dict[str, dict[str, float]]:
    """Seconds and rows a second of each way in, and of merely reading."""
    frame = calls(rows)
    reading: dict[str, Callable[[Path], object]] = {
        "csv": lambda path: pl.read_csv(path, infer_schema=False),
        "jsonl": lambda path: pl.read_ndjson(path, schema=dict.fromkeys(frame.columns, pl.String)),
        "parquet": pl.read_parquet,
    }
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for form, path in write(frame, folder).items():
            floor_s, floor_cpu_s = seconds(lambda form=form, path=path: reading[form](path))
            store = open_store(folder / f"store-{form}", create=True)
            took_s, cpu_s = seconds(lambda path=path, store=store: load(store, [Input(path.name, path)]))
            results[form] = {"seconds": took_s, "cpu_s": cpu_s, "rows_per_s": rows / took_s}
            results[form] |= {"read_only_s": floor_s, "read_only_cpu_s": floor_cpu_s}
        store = open_store(folder / "store-frame", create=True)
        took_s, cpu_s = seconds(lambda: store.append(calls_of_frame(frame).calls, source="bench"))
        results["frame"] = {"seconds": took_s, "cpu_s": cpu_s, "rows_per_s": rows / took_s}
    return results


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS), indent=2))
