"""Rollup by Polars on Parquet beside ClickHouse's engine (chdb) on the same file, and a report of a month kept in ClickHouse.

    .venv/bin/python -m tests.bench clickhouse

Both engines answer from the same two million calls in 9,600 groups, the engine by the statement that counts calls in a cluster.
The month is 720 hours of 100 groups with 60 filled buckets each, in the table that `meshslo clickhouse-init` makes.
Contenders take turns; medians, and processor time beside, which other load disturbs less.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl

from meshslo.analysis import open_store
from meshslo.analysis.clickhouse import counted, timed_calls
from meshslo.analysis.clickhouse_cells import CELLS, statements
from meshslo.analysis.folding import Rollup
from meshslo.analysis.rollup import roll_up
from meshslo.telemetry.clickhouse import ClickHouse, open_clickhouse
from meshslo.telemetry.clickhouse.sql import Step, Steps, literal
from meshslo.telemetry.store.kinds import scan_numbered
from tests.bench.rollup import SHAPE, make
from tests.support import otel_traces

ROWS: Final = 2_000_000
FILE: Final = Path("build") / f"bench-rollup-{ROWS}.parquet"
KEYS: Final = tuple(SHAPE)
ROUNDS: Final = 5
URL: Final = "chdb:///default?table=bench_spans"
MONTH: Final = {"hours": 720, "groups": 100, "buckets": 60}
FIRST_HOUR_S: Final = 1_793_610_000 // 3600 * 3600


def run(rounds: int = ROUNDS) -> dict[str, float]:
    """Seconds and processor seconds of each contender; AssertionError where the engines do not count the same."""
    make(FILE, ROWS)
    store = open_clickhouse(URL)
    cells = by_engine(store).select(pl.col("count").sum()).item(), by_polars().cells["count"].sum()
    if cells[0] != cells[1]:
        raise AssertionError(f"{cells[0]} calls counted by the engine, {cells[1]} by Polars")
    keep_month(store)
    by_hop = open_store(f"{URL}&cells={CELLS}")
    contenders: dict[str, Callable[[], object]] = {
        "polars": by_polars,
        "chdb": lambda: by_engine(store),
        "month_report": lambda: by_hop.report(by=["hop"]),
    }
    results = measured(contenders, rounds)
    return results | {"chdb_times_polars_cpu": results["chdb_cpu_s"] / results["polars_cpu_s"]}


def by_polars() -> Rollup:
    """The rollup of the file as the embedded store makes it."""
    numbered, _ = scan_numbered([FILE])
    assert numbered is not None
    return roll_up(numbered, keys=KEYS, bucket=None, phases=["total"])


def by_engine(store: ClickHouse) -> pl.DataFrame:
    """The cells of the file's calls by the statement that ClickHouse is given."""
    as_they_are = ("vantage", "outcome", "duration_s", "weight", *KEYS)
    columns = {"start_ns": "toUnixTimestamp64Nano(start)", **{name: name for name in as_they_are}}
    calls = Steps((Step(columns, f"FROM file({literal(str(FILE.absolute()))}, Parquet)", whole=True),))
    return store.connection.frame(counted(calls.then(timed_calls(KEYS, None, ["total"])), KEYS).sql())


def keep_month(store: ClickHouse) -> None:
    """Fill the table of cells with a month of hours: each group's durations spread over its own 60 buckets."""
    for name in (CELLS, "meshslo_live_view", "meshslo_live", "meshslo_fronts"):
        store.connection.run(f"DROP TABLE IF EXISTS {name}")
    otel_traces.create(store.connection.client, "bench_spans")
    for statement in statements(store)[:1]:
        store.connection.run(statement)
    rows = MONTH["hours"] * MONTH["groups"] * MONTH["buckets"]
    group = f"intDiv(number, {MONTH['buckets']}) % {MONTH['groups']}"
    hour = f"intDiv(number, {MONTH['buckets'] * MONTH['groups']})"
    index = f"number % {MONTH['buckets']} + {group}"
    middle_s = f"pow(2, ({index} + 0.5) / 64)"
    columns = {
        "start": f"toInt64(({FIRST_HOUR_S} + {hour} * 3600) * 1000000000)",
        "vantage": "'server'",
        "k_hop": f"concat('a>s', toString({group} % 10))",
        "k_route": "'/v1/chat'",
        "k_model": f"concat('m', toString(intDiv({group}, 10)))",
        "k_tenant": "'t'",
        "phase": "'total'",
        "outcome": "'ok'",
        "event": "1",
        "censored": "0",
        "index": f"toInt16({index})",
        "count": "5",
        "weight": "5",
        "weight_sq": "5",
        "sum_s": f"5 * {middle_s}",
        "min_s": middle_s,
        "max_s": middle_s,
    }
    texts = ", ".join(f"{text} AS `{name}`" for name, text in columns.items())
    named = ", ".join(f"`{name}`" for name in columns)
    store.connection.run(f"INSERT INTO {CELLS} ({named}) SELECT {texts} FROM numbers({rows})")


def measured(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds and processor seconds of each."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            began, began_cpu = time.perf_counter(), time.process_time()
            contender()
            seconds[name].append((time.perf_counter() - began, time.process_time() - began_cpu))
    results = {}
    for name, times in seconds.items():
        results[f"{name}_s"], results[f"{name}_cpu_s"] = (statistics.median(column) for column in zip(*times, strict=True))
    return results
