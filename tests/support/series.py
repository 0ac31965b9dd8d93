"""Builders of metric series: a test states only what it is about."""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import polars as pl

from meshslo.telemetry.store.metrics import STEPS, as_series
from meshslo.telemetry.vocabulary import hop
from tests.support.calls import EPOCH


def make_row(**columns: Any) -> dict[str, Any]:
    """One number of gateway>generator, counted by the source in the minute from EPOCH, but for what is given.

    `minute` shifts the start; `caller` and `callee` set the hop.
    """
    row: dict[str, Any] = {
        "source": "http://prometheus",
        "profile": "istio",
        "instrument": "duration",
        "preference": 0,
        "reporter": "source",
        "start": EPOCH + timedelta(minutes=columns.pop("minute", 0)),
        "step_s": 60.0,
        "caller": "gateway",
        "callee": "generator",
        "outcome": "ok",
        "phase": "total",
        "measure": "bucket",
        "value": 1.0,
        **columns,
    }
    row.setdefault("hop", hop(row["caller"], row["callee"]))
    return row


def make_histogram(edges_s: Sequence[float], counts: Sequence[float], **columns: Any) -> list[dict[str, Any]]:
    """Rows of a histogram with these upper edges and calls between them; one more count is what is above the top edge."""
    lows, highs = [0.0, *edges_s], [*edges_s, math.inf]
    return [
        make_row(low_s=low, high_s=high, value=float(count), **columns)
        for low, high, count in zip(lows, highs, counts, strict=False)
        if count
    ]


def make_steps(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """What a scan of the metric store gives, from the dicts of `make_row`."""
    there = pl.from_dicts(list(rows), infer_schema_length=None)
    missing = [pl.lit(None).alias(name) for name in STEPS if name not in there.columns]
    return there.with_columns(missing).select(STEPS.names()).cast(STEPS)


def make_series(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """What a source gives, from the dicts of `make_row`."""
    return as_series(make_steps(rows).lazy()).collect()


def series_of(calls: pl.DataFrame) -> pl.DataFrame:
    """What a server's histograms of total and first token say of calls, by minute: no single call is left."""
    rows: list[dict[str, Any]] = []
    for phase, seconds in (("total", "duration_s"), ("first_token", "first_token_s")):
        seen = calls.filter(pl.col(seconds).is_not_null()).group_by(pl.col("start").dt.truncate("1m"), "caller", "callee")
        for row in seen.agg(pl.len(), pl.col(seconds).sum(), most=pl.col(seconds).max()).sort("start").iter_rows(named=True):
            told = {"caller": row["caller"], "callee": row["callee"], "start": row["start"], "phase": phase}
            rows += make_histogram([row["most"]], [row["len"]], **told)
            rows.append(make_row(measure="sum_s", value=row[seconds], **told))
    return make_series(rows)
