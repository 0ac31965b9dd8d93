"""Rollup and p95/p99 of 20 M calls in 9,600 groups, beside engines that sort every group, and beside reading alone.

    .venv/bin/python -m tests.bench rollup

The same answer from all: p95 and p99 of the `ok` calls of each (vantage, hop, route, model, tenant). `ours` is the rollup of
the calls of every outcome and these two; `ours_with_intervals` the rollup and a report of it, which no peer answers: survival
estimates that count cut calls, with intervals and bounds. `read` and `read_numbered` are floors: they decode the columns that
the peers read (words and durations), or that `ours` reads (numbers of kinds and durations), and keep none. Each contender has
a process of its own, so that none pays for another's memory; after a round to warm up they take turns. Figures are medians.
Times are of one machine at one moment: read the ratios.
"""

import json
import math
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa

from meshslo.analysis import histogram
from meshslo.analysis.report import report
from meshslo.analysis.rollup import Rollup, roll_up
from meshslo.analysis.tables import life_tables
from meshslo.telemetry.schema import CALLS
from meshslo.telemetry.store.hours import scan_files, write_calls
from meshslo.telemetry.store.kinds import KIND, Numbered, scan_numbered

ROWS = 20_000_000
SHAPE = {"hop": 8, "route": 10, "model": 6, "tenant": 20}
GROUP = ["vantage", *SHAPE]
NEEDED = [*GROUP, "outcome", "duration_s"]
QUANTILES = (0.95, 0.99)
ROUNDS = 5
FILE = Path("build") / f"bench-rollup-{ROWS}.parquet"
_CHUNK_ROWS = 500_000


def make(path: Path = FILE, rows: int = ROWS) -> None:
    """Write the calls once, as the store writes them: words (plain strings to readers) and the number of each call's kind."""
    if path.exists():
        return
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    rng = np.random.default_rng(20261102)
    write_calls(partial, (_chunk(rng, first) for first in range(0, rows, _CHUNK_ROWS)))
    partial.rename(path)


def _chunk(rng: np.random.Generator, first: int) -> pa.Table:
    codes = {key: rng.integers(0, size, _CHUNK_ROWS) for key, size in SHAPE.items()}
    # Log-normal around a median of the group's own, and one call in a hundred three times as slow.
    median_s = 0.15 * 1.35 ** codes["hop"] * 1.2 ** codes["model"] * 1.02 ** codes["tenant"]
    slow = np.where(rng.random(_CHUNK_ROWS) < 0.01, 3.0, 1.0)
    ending = np.searchsorted([0.97, 0.985, 0.995], rng.random(_CHUNK_ROWS))
    columns = {
        "start": pa.array(1_793_610_000_000_000_000 + (first + np.arange(_CHUNK_ROWS)) * 4_000_000, pa.timestamp("ns", "UTC")),
        "vantage": _words(np.zeros(_CHUNK_ROWS), ["server"]),
        "hop": _words(codes["hop"], [f"service-{n}>service-{n + 1}" for n in range(SHAPE["hop"])]),
        "route": _words(codes["route"], [f"/v1/route-{n}" for n in range(SHAPE["route"])]),
        "model": _words(codes["model"], [f"model-{n}" for n in range(SHAPE["model"])]),
        "tenant": _words(codes["tenant"], [f"tenant-{n}" for n in range(SHAPE["tenant"])]),
        "outcome": _words(ending, ["ok", "error", "timeout", "cancelled"]),
        "duration_s": pa.array(median_s * slow * rng.lognormal(0, 0.45, _CHUNK_ROWS)),
        "weight": pa.array(np.ones(_CHUNK_ROWS)),
    }
    unseen = {field.name: pa.nulls(_CHUNK_ROWS, field.type) for field in CALLS if field.name not in columns}
    return pa.table(columns | unseen, schema=CALLS)


def _words(codes: np.ndarray, words: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(words))


def rolled_up() -> Rollup:
    """The rollup as a report asks for it."""
    return roll_up(_numbered(), keys=tuple(SHAPE), bucket=None, phases=["total"], extremes=False)


def _numbered() -> Numbered:
    numbered, _ = scan_numbered([FILE])
    assert numbered is not None
    return numbered


def ours() -> pl.DataFrame:
    """Rollup, and the quantiles of the calls that were seen to their end."""
    groups, tables = life_tables(rolled_up().where(pl.col("event")), "total")
    return groups.with_columns(pl.Series(f"q{q}", tables.completed(q)) for q in QUANTILES)


def read(calls: pl.LazyFrame) -> pl.DataFrame:
    """Decode all columns, a batch at a time, and only count what is missing in each."""
    return calls.select(pl.all().null_count()).collect(engine="streaming")


def duckdb_sql(function: str) -> str:
    """One statement for both quantiles: the list form sorts a group once."""
    keys, quantiles = ", ".join(GROUP), ", ".join(map(str, QUANTILES))
    return f"SELECT {keys}, {function}(duration_s, [{quantiles}]) AS q FROM '{FILE}' WHERE outcome = 'ok' GROUP BY ALL"


def polars_exact() -> pl.DataFrame:
    """Polars' own quantile in a group-by."""
    quantiles = [pl.col("duration_s").quantile(q, "linear").alias(f"q{q}") for q in QUANTILES]
    return scan_files([FILE]).filter(pl.col("outcome") == "ok").group_by(GROUP).agg(quantiles).collect(engine="streaming")


CONTENDERS: dict[str, Callable[[], object]] = {
    "ours": ours,
    "ours_with_intervals": lambda: report(rolled_up(), quantiles=QUANTILES),
    "duckdb_exact": lambda: duckdb.sql(duckdb_sql("quantile_cont")).pl(),
    "duckdb_approximate": lambda: duckdb.sql(duckdb_sql("approx_quantile")).pl(),
    "polars_exact": polars_exact,
    "read": lambda: read(scan_files([FILE]).select(NEEDED)),
    "read_numbered": lambda: read(_numbered().rows.select(KIND, "duration_s")),
}


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """Seconds (wall and processor) and peak memory of each contender, the ratios, and ours' largest error."""
    make()
    contenders = [_Contender(name) for name in CONTENDERS]
    try:
        for _ in range(1 + rounds):
            for contender in contenders:
                contender.take_turn()
    finally:
        for contender in contenders:
            contender.stop()
    told = {contender.name: contender.told() for contender in contenders}

    def times(name: str, measure: str) -> float:
        return told[name][measure] / told["ours"][measure]

    fastest = min(("duckdb_exact", "polars_exact"), key=lambda name: told[name]["wall_s"])
    return {
        **told,
        "fastest_exact": fastest,
        "times_faster_than_fastest_exact": times(fastest, "wall_s"),
        "times_less_cpu_than_fastest_exact": times(fastest, "cpu_s"),
        "times_read_floor": 1.0 / times("read", "wall_s"),
        "times_own_read_floor": 1.0 / times("read_numbered", "wall_s"),
        "peak_rss_mib": told["ours"]["peak_rss_mib"],
        **errors(),
        "error_bound": histogram.relative_error(),
    }


class _Contender:
    """A process that answers once for each line it is sent, and tells what that took.

    It stands still between its turns: an allocator's thread gives gigabytes back for seconds, on a core of whoever comes next.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._turns: list[dict[str, float]] = []
        command = [sys.executable, "-m", "tests.bench.rollup", name]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def take_turn(self) -> None:
        """Answer once more."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.send_signal(signal.SIGCONT)
        print(file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        self._process.send_signal(signal.SIGSTOP)
        if not line:
            raise ChildProcessError(f"{self.name} ended with code {self._process.wait()}")
        self._turns.append(json.loads(line))

    def told(self) -> dict[str, float]:
        """Medians of all turns but the first, and the peak of all."""
        medians = {name: statistics.median(turn[name] for turn in self._turns[1:]) for name in ("wall_s", "cpu_s")}
        return {**medians, "peak_rss_mib": self._turns[-1]["peak_rss_mib"]}

    def stop(self) -> None:
        """End the process; its memory is free when this returns."""
        self._process.send_signal(signal.SIGCONT)
        self._process.communicate()


def errors() -> dict[str, float]:
    """The largest relative error of any group's p95 and p99: against the exact order statistic, and against interpolation.

    Ours answers with the bucket of the order statistic of rank ceil(q n). `quantile_cont` interpolates towards the next one,
    which no histogram can: `rank_interpolation` is the largest step between the two in any group.
    """
    duration = pl.col("duration_s").sort()
    ranks = {q: (q * pl.len() - 1e-9).ceil().cast(pl.Int64) - 1 for q in QUANTILES}
    exact = (
        scan_files([FILE])
        .filter(pl.col("outcome") == "ok")
        .group_by(GROUP)
        .agg(
            *(duration.get(rank).alias(f"rank{q}") for q, rank in ranks.items()),
            *(pl.col("duration_s").quantile(q, "linear").alias(f"linear{q}") for q in QUANTILES),
        )
        .with_columns(pl.col("vantage").cast(pl.String))
        .collect()
    )
    both = ours().with_columns(pl.col("vantage").cast(pl.String)).join(exact, on=GROUP, validate="1:1")
    if both.height != math.prod(SHAPE.values()):
        raise AssertionError(f"{both.height} groups in both answers, not {math.prod(SHAPE.values())}")

    def worst(got: str, wanted: str) -> float:
        apart = [both.select((pl.col(f"{got}{q}") / pl.col(f"{wanted}{q}") - 1.0).abs().max()).item() for q in QUANTILES]
        return float(max(apart))

    return {
        "worst_relative_error": worst("q", "rank"),
        "worst_error_against_interpolated": worst("q", "linear"),
        "rank_interpolation": worst("linear", "rank"),
    }


def _answer(name: str) -> None:
    """Be a contender: an answer for each line of standard input."""
    for _ in sys.stdin:
        began, spent = time.perf_counter(), time.process_time()
        CONTENDERS[name]()
        took = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - spent, "peak_rss_mib": _peak_mib()}
        print(json.dumps(took), flush=True)


def _peak_mib() -> float:
    """The largest resident size of this process. (`ru_maxrss` would count its parent's at the fork, too.)"""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    _answer(sys.argv[1])
