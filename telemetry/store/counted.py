"""Running counts of the calls that a collector has stored, for its /metrics.

They change in the same commit as the calls themselves, so they are right across restarts and kills: a call is in the counts
exactly when it is in a file. Calls that an import adds are not counted; those that retention drops stay counted.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl

from meshslo.telemetry.vocabulary import OTHER, PHASE_COLUMNS

from .atomic import TEMPORARY, sync_file
from .layout import Layout

LABELS: Final = ("vantage", "hop", "route", "model", "tenant", "outcome")
EDGES_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0)
"""Upper bucket edges: from a reranker's 5 ms to a stream of a quarter of an hour; above the last is one more bucket."""

NATIVE_SCHEMA: Final = 3
"""Beside them exponential buckets, base 2 ** (1/8): a bucket is 9 % wide."""

SECONDS_METRIC: Final = "meshslo_call_seconds"
NATIVE_METRIC: Final = "meshslo_call_native_seconds"
"""What the histograms are called at /metrics: with classic buckets, and as native ones."""

MAX_GROUPS: Final = 500
"""Combinations of labels that are told apart; what comes later is counted as `__other__`."""

COUNTS: Final = pl.Schema(
    {
        **dict.fromkeys(LABELS, pl.String()),
        "measure": pl.String(),
        "edge": pl.UInt8(),
        "native": pl.Int16(),
        "count": pl.UInt64(),
        "sum_s": pl.Float64(),
        "trace_id": pl.Binary(),
        "value_s": pl.Float64(),
    }
)
"""One number: how many values of a phase (`measure`) fell into the bucket of an edge and into a native one (number i holds
(base ** (i - 1), base ** i]), their sum, the last one and its trace.

Or a counter (`calls`, `retries`, `cut_streams`, `input_tokens`, `output_tokens`), with edge 0 and no native bucket. Unset
labels are empty."""

_CELL: Final = (*LABELS, "measure", "edge", "native")
_NATIVE_RANGE_S: Final = (2.0**-30, 2.0**30)
_NUDGE: Final = 2.0**-36
"""Taken off before rounding up, as in the rollup: a logarithm's error must not lift an edge out of the bucket it closes."""


def counter_metric(measure: str) -> str:
    """What a counter is called at /metrics."""
    return f"meshslo_{measure}_total"


def count_calls(calls: pl.DataFrame) -> pl.DataFrame:
    """The counts of some call rows."""
    labels = calls.select(pl.col(LABELS).fill_null(""), row=pl.int_range(pl.len()))
    group = labels.select(pl.col("row").first().over(LABELS).alias("group"))["group"]
    amounts = calls.with_columns(_FIRST_TOKEN).select("trace_id", *PHASE_COLUMNS.values(), **_COUNTERS).with_columns(group)
    cells = pl.concat([*(_phase(amounts, phase, column) for phase, column in PHASE_COLUMNS.items()), _counters(amounts)])
    return pl.concat([labels[cells["group"]], cells], how="horizontal").select(COUNTS.names()).cast(COUNTS)


def add_counts(before: pl.DataFrame, new: pl.DataFrame, max_groups: int = MAX_GROUPS) -> pl.DataFrame:
    """`before` and `new` together; combinations of labels beyond `max_groups` are counted as `__other__`."""
    known = before.select(LABELS).unique()
    fresh = new.select(LABELS).unique(maintain_order=True).join(known, on=LABELS, how="anti", maintain_order="left")
    surplus = fresh.slice(max(0, max_groups - known.height)).with_columns(pl.lit(True).alias("_surplus"))
    told = new.join(surplus, on=LABELS, how="left", maintain_order="left")
    folded = [
        pl.when(pl.col("_surplus").is_null()).then(label).otherwise(pl.lit(OTHER)).alias(label)
        for label in LABELS
        if label not in ("vantage", "outcome")
    ]
    return _added(pl.concat([before, told.with_columns(folded).drop("_surplus")]))


def read_counts(layout: Layout) -> pl.DataFrame:
    """The counts up to the last commit; empty where a collector has stored nothing yet."""
    path = _path(layout)
    counts = pl.read_ipc(path.read_bytes()) if path.exists() else pl.DataFrame(schema=COUNTS)
    # Written by another version, with other buckets: counters may begin anew, which Prometheus sees and allows for.
    return counts if counts.schema == COUNTS else pl.DataFrame(schema=COUNTS)


def stage_counts(layout: Layout, counts: pl.DataFrame) -> tuple[Path, Path]:
    """Write `counts` durably under a temporary name: (temporary, final)."""
    final = _path(layout)
    temporary = final.with_name(f".{final.name}{TEMPORARY}")
    counts.write_ipc(temporary, compression="zstd")
    sync_file(temporary)
    return temporary, final


def _path(layout: Layout) -> Path:
    return layout.root / "counted.arrow"


# An answer that is no stream comes whole: its first token is its last one.
_FIRST_TOKEN: Final = pl.when(pl.col("streaming").fill_null(value=True)).then(pl.col("first_token_s"))
_COUNTERS: Final = {
    "calls": pl.lit(1),
    "retries": pl.col("attempt").fill_null(1) > 1,
    "cut_streams": pl.col("streaming").fill_null(False) & (pl.col("outcome") == "timeout"),
    "input_tokens": pl.col("input_tokens"),
    "output_tokens": pl.col("output_tokens"),
}


def _phase(amounts: pl.DataFrame, phase: str, column: str) -> pl.DataFrame:
    seen = amounts.select("group", "trace_id", pl.col(column).alias("value_s")).filter(pl.col("value_s").is_not_null())
    edge = pl.Series("edge", pl.Series(EDGES_S).search_sorted(seen["value_s"], side="left"), dtype=pl.UInt8)
    cells = seen.with_columns(edge, native=_native(pl.col("value_s"))).group_by("group", "edge", "native", maintain_order=True)
    sums = (pl.len().cast(pl.UInt64).alias("count"), pl.col("value_s").sum().alias("sum_s"))
    counts = cells.agg(*sums, *_last("trace_id", "value_s"))
    return counts.select("group", pl.lit(phase).alias("measure"), pl.exclude("group"))


def _native(seconds: pl.Expr) -> pl.Expr:
    return (seconds.clip(*_NATIVE_RANGE_S).log(2.0) * 2.0**NATIVE_SCHEMA - _NUDGE).ceil().cast(pl.Int16)


def _counters(amounts: pl.DataFrame) -> pl.DataFrame:
    sums = amounts.group_by("group", maintain_order=True).agg(pl.col(name).sum().cast(pl.UInt64) for name in _COUNTERS)
    return (
        sums.unpivot(on=list(_COUNTERS), index="group", variable_name="measure", value_name="count")
        .filter(pl.col("count") > 0)
        .select(
            "group",
            "measure",
            pl.lit(0, dtype=pl.UInt8).alias("edge"),
            pl.lit(None, dtype=pl.Int16).alias("native"),
            "count",
            pl.lit(0.0).alias("sum_s"),
            pl.lit(None, dtype=pl.Binary).alias("trace_id"),
            pl.lit(None, dtype=pl.Float64).alias("value_s"),
        )
    )


def _last(*names: str) -> Iterator[pl.Expr]:
    return (pl.col(name).last(ignore_nulls=True) for name in names)


def _added(cells: pl.DataFrame) -> pl.DataFrame:
    grouped = cells.group_by(_CELL, maintain_order=True)
    summed = grouped.agg(pl.col("count", "sum_s").sum(), *_last("trace_id", "value_s"))
    return summed.select(COUNTS.names()).cast(COUNTS)
