"""From pulled histograms and counters to a rollup with the vantage `metric`.

A metric's buckets are wide: each cell carries its true edges, and a quantile's interval ends at them. What was counted above
the top edge is known to have lasted longer than that: it is censored there, so a quantile among it is "at least the edge". A
call that a timer cut is censored at its bucket's lower edge.

Several metrics may have counted the same calls (the source's and the destination's sidecar, two servers, two metrics of one
proxy). They are never added: of each hop and phase one view is taken, the caller's side first.
"""

from collections.abc import Sequence
from typing import Final

import polars as pl

from meshslo.telemetry.store.metrics import stepwise
from meshslo.telemetry.vocabulary import CENSORED, OUTCOMES, PHASES, VANTAGES, Phase

from . import histogram
from .adding import CELL_VALUES, EDGES
from .folding import KEYS, Rollup, from_cells

VIEW: Final = ("source", "profile", "instrument", "reporter")
"""What tells apart who counted."""

_SIDES: Final = {
    "source": 0,
    "outbound": 0,
    "client": 0,
    "waypoint": 1,
    "gateway": 1,
    "destination": 3,
    "inbound": 3,
    "server": 3,
}
_NO_SIDE: Final = 2
_ENDINGS: Final = ("phase", "outcome", "event", "censored")
_OK: Final = pl.col("outcome") == "ok"


def roll_up_series(
    series: pl.LazyFrame, *, keys: Sequence[str] = KEYS, bucket: str | None = "1m", phases: Sequence[Phase] = PHASES
) -> Rollup:
    """Count metric series (rows of `telemetry.store.metrics.SERIES`) by time bucket and `keys`; vantage is `metric`.

    A key that metrics do not have is null. Steps longer than `bucket` count where they begin.
    """
    told = _told(series.filter(pl.col("phase").is_null() | pl.col("phase").is_in(list(phases))), keys, bucket)
    views = _chosen(told.filter(pl.col("measure") == "bucket"), ["hop", "phase"])
    durations = told.filter(pl.col("measure") == "bucket").join(views, on=views.columns, how="semi", nulls_equal=True)
    sums = told.filter(pl.col("measure") == "sum_s").join(views, on=views.columns, how="semi", nulls_equal=True)
    counted = told.filter(pl.col("measure") == "calls")
    endings = counted.join(_chosen(counted, ["hop"]), on=["hop", *VIEW], how="semi", nulls_equal=True)
    balance = _balance(durations, endings, phases)
    seen = _as_cells(_completed(durations, balance))
    cells = pl.concat([seen, _as_unseen(endings, balance, keys)], how="diagonal_relaxed")
    columns = ["start", "vantage", *keys, *_ENDINGS]
    totals = pl.concat(
        [_extents(cells), _as_cells(_completed(sums, balance)).with_columns(_sum_alone())], how="diagonal_relaxed"
    )
    numbers = ("count", "weight", "weight_sq", "sum_s", "min_s", "max_s")
    return from_cells(cells.select(*columns, "index", *EDGES, *CELL_VALUES), totals.select(*columns, *numbers), keys, bucket)


def _told(series: pl.LazyFrame, keys: Sequence[str], bucket: str | None) -> pl.DataFrame:
    """`value` by everything that matters here, the keys that metrics lack as nulls."""
    there = series.collect_schema().names()
    if bucket is None:
        # All steps of a series are one number here: a month of minutes need not be spread out.
        start, series = pl.lit(None, dtype=pl.Datetime("ns", "UTC")), series.with_columns(pl.col("value").list.sum())
    else:
        start, series = pl.col("start").dt.truncate(bucket), stepwise(series)
    names = dict.fromkeys(["hop", *keys])
    words = [pl.col(name) if name in there else pl.lit(None, dtype=pl.String).alias(name) for name in names]
    by = ["start", *names, "phase", "outcome", *VIEW, "preference", "measure", "low_s", "high_s"]
    counted = series.with_columns(start.alias("start")).with_columns(words).group_by(by).agg(pl.col("value").sum())
    return counted.collect(engine="streaming")


def _chosen(rows: pl.DataFrame, at: list[str]) -> pl.DataFrame:
    """The one view of each of `at`: nearest to the caller, then the profile's first, then the one that counted most."""
    side = pl.col("reporter").replace_strict(_SIDES, default=_NO_SIDE, return_dtype=pl.Int8).fill_null(_NO_SIDE).alias("side")
    views = rows.group_by(*at, *VIEW).agg(side.first(), pl.col("preference").min(), pl.col("value").sum())
    best = views.sort(
        *at, "side", "preference", "value", *VIEW, descending=[False] * (len(at) + 2) + [True] + [False] * len(VIEW)
    )
    return best.unique(at, keep="first", maintain_order=True).select(*at, *VIEW)


def _balance(durations: pl.DataFrame, endings: pl.DataFrame, phases: Sequence[Phase]) -> pl.DataFrame:
    """Hops and phases whose outcomes only a counter tells: the share of a histogram that is `ok`, and ok calls not in it.

    Such a histogram counts failed calls that have ended, too; they are taken out in proportion, since it does not say which
    they are. Ok calls that it lacks are still running, were cut after their headers, or do not have the phase.
    """
    hist = durations.group_by("hop", "phase").agg(
        pl.col("outcome").is_null().all().alias("blind"), pl.col("value").sum().alias("held")
    )
    total = endings.select("hop").unique().filter("total" in phases).with_columns(pl.lit("total").alias("phase"))
    ok = endings.group_by("hop").agg(pl.col("value").filter(_OK).sum().alias("ok"))
    return (
        total.join(hist, on=["hop", "phase"], how="full", coalesce=True)
        .filter(pl.col("blind").fill_null(value=True))
        .join(ok, on="hop")
        .with_columns(pl.col("held").fill_null(0.0))
        .select(
            "hop",
            "phase",
            pl.when((pl.col("ok") > 0) & (pl.col("held") > pl.col("ok"))).then(pl.col("ok") / pl.col("held")).alias("share"),
            (pl.col("ok") - pl.col("held")).clip(0.0).alias("missing"),
        )
    )


def _completed(rows: pl.DataFrame, balance: pl.DataFrame) -> pl.DataFrame:
    """`rows` of a histogram with an outcome each; where a share of them failed, that much is taken off, in whole calls."""
    ordered = rows.join(balance.select("hop", "phase", "share"), on=["hop", "phase"], how="left").sort(
        "hop", "phase", "start", "high_s"
    )
    through = pl.col("value").cum_sum().over("hop", "phase") * pl.col("share")
    whole = pl.when(pl.col("measure") == "bucket").then(through.round()).otherwise(through)
    kept = (whole - whole.shift(fill_value=0.0).over("hop", "phase")).fill_null(pl.col("value"))
    return (
        ordered.with_columns(kept.alias("value"), pl.col("outcome").fill_null("ok")).filter(pl.col("value") > 0).drop("share")
    )


def _as_cells(rows: pl.DataFrame) -> pl.DataFrame:
    """Cells of histogram buckets: events up to their upper edge, or known to be longer than the lower one."""
    to_the_end = pl.col("phase").is_in(["total", "max_gap"])
    over = pl.col("high_s").is_infinite().fill_null(value=False)
    cut = to_the_end & pl.col("outcome").is_in(sorted(CENSORED))
    failed = to_the_end & ~cut & ~_OK
    at_edge = over | cut
    high = pl.when(at_edge).then("low_s").otherwise("high_s")
    return _typed(
        rows.with_columns(
            (~at_edge & ~failed).alias("event"),
            (at_edge & ~failed).alias("censored"),
            high.alias("high_s"),
            histogram.index_expr(high).alias("index"),
        )
    )


def _as_unseen(endings: pl.DataFrame, balance: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Cells of calls that no histogram shows: what failed, and what the balance misses, at the end of the window."""
    at = balance.select("hop", "phase")
    failed = endings.filter(~_OK).drop("phase").join(at, on="hop")
    last = endings.group_by("hop").agg(pl.col("start").max())
    missing = balance.filter(pl.col("missing") > 0).join(last, on="hop").rename({"missing": "value"})
    missing = missing.select("start", "hop", "phase", "value", pl.lit("ok").alias("outcome"))
    words = list(dict.fromkeys(["hop", *keys]))
    both = pl.concat([failed.select("start", *words, "phase", "outcome", "value"), missing], how="diagonal_relaxed")
    no_edge = pl.lit(None, dtype=pl.Float64)
    never = pl.lit(value=False)
    return _typed(
        both.with_columns(
            never.alias("event"),
            never.alias("censored"),
            pl.lit(None, dtype=histogram.INDEX_TYPE).alias("index"),
            no_edge.alias("low_s"),
            no_edge.alias("high_s"),
        )
    )


def _typed(cells: pl.DataFrame) -> pl.DataFrame:
    return cells.with_columns(
        pl.lit("metric", dtype=pl.Enum(VANTAGES)).alias("vantage"),
        pl.col("phase").cast(pl.Enum(PHASES)),
        pl.col("outcome").cast(pl.Enum(OUTCOMES)),
        pl.col("value").round().cast(pl.UInt64).alias("count"),
        pl.col("value").alias("weight"),
        pl.col("value").alias("weight_sq"),
    )


def _extents(cells: pl.DataFrame) -> pl.DataFrame:
    """The part of the totals that buckets tell; the shortest and longest duration are edges."""
    return cells.with_columns(pl.lit(0.0).alias("sum_s"), pl.col("low_s").alias("min_s"), pl.col("high_s").alias("max_s"))


def _sum_alone() -> list[pl.Expr]:
    """What turns the row of a sum into a part of the totals: seconds, and no calls."""
    none = pl.lit(0.0)
    unknown = pl.lit(None, dtype=pl.Float64)
    return [
        pl.col("value").alias("sum_s"),
        pl.lit(0, dtype=pl.UInt64).alias("count"),
        none.alias("weight"),
        none.alias("weight_sq"),
        unknown.alias("min_s"),
        unknown.alias("max_s"),
    ]
