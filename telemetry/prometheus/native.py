"""Native histograms as rows of the metric store.

The API's JSON does not say a histogram's schema; the ratio of a bucket's edges is its base. Empty buckets are left out. When
the server halves the resolution, two neighbours become one: then all of a series' points are brought to the coarser one.
Source: prometheus/docs, specs/native_histograms.md.
"""

from typing import Final

import numpy as np
import polars as pl

from .api import Prometheus, Series, Steps, selector
from .classic import GROWN, Found, Reading, as_rows
from .matrix import Labels, scraped, targets
from .profile import SECONDS, Histogram

_POINTS: Final = pl.Schema(
    {"group": pl.UInt32(), "step": pl.Int64(), "low": pl.Float64(), "high": pl.Float64(), "value": pl.Float64()}
)
_BOTH_CLOSED: Final = 3
"""How a zero bucket is marked: both of its edges belong to it."""


def read_native(api: Prometheus, found: Found, steps: Steps) -> Reading:
    """Buckets and sums of a native histogram, in seconds; every point as the server has it, not extrapolated."""
    assert isinstance(found.metric, Histogram)  # noqa: S101 - the reader sorts them
    series = [one for one in api.range(selector(found.name, found.metric.match), steps) if one.histograms]
    groups: list[Labels] = [{key: value for key, value in one.metric.items() if key != "__name__"} for one in series]
    scale = SECONDS[found.metric.unit]
    process = _processes(api, groups, steps)
    buckets = _growth(_one_resolution(_buckets(series, steps)), process)
    sums = _growth(_sums(series, steps), process)
    fixed = {"phase": found.metric.phase}
    return Reading(
        pl.concat(
            [
                as_rows(_seconds(buckets, scale, pl.col("value")), groups, found, steps, {**fixed, "measure": "bucket"}),
                as_rows(_seconds(sums, scale, pl.col("value") * scale), groups, found, steps, {**fixed, "measure": "sum_s"}),
            ]
        ),
        sum(len(point.buckets) + 1 for one in series for _, point in one.histograms),
    )


def _buckets(series: list[Series], steps: Steps) -> pl.DataFrame:
    """Cumulative count of each bucket at each point; the column at which nothing is held is a row without edges."""
    rows = [
        (number, round((at - steps.since_s) / steps.step_s), low, float(right), float(count))
        for number, one in enumerate(series)
        for at, point in one.histograms
        for rule, left, right, count in point.buckets
        for low in [0.0 if rule == _BOTH_CLOSED else float(left)]
    ]
    empty = [
        (number, round((at - steps.since_s) / steps.step_s), None, None, float(point.count))
        for number, one in enumerate(series)
        for at, point in one.histograms
    ]
    return pl.DataFrame([*rows, *empty], schema=_POINTS, orient="row", infer_schema_length=None)


def _sums(series: list[Series], steps: Steps) -> pl.DataFrame:
    """Cumulative sum at each point, beside the count that shows a restart."""
    rows = [
        (number, round((at - steps.since_s) / steps.step_s), edge, None, float(value))
        for number, one in enumerate(series)
        for at, point in one.histograms
        for edge, value in ((None, point.count), (0.0, point.sum))
    ]
    return pl.DataFrame(rows, schema=_POINTS, orient="row", infer_schema_length=None)


def _one_resolution(points: pl.DataFrame) -> pl.DataFrame:
    """Exponential buckets of a series at the coarsest base that any of its points has; custom edges stay as they are."""
    ratio = pl.when(pl.col("low") > 0.0).then(pl.col("high") / pl.col("low"))
    exact = (-(ratio.log(2.0)).log(2.0)).round()
    is_exponential = (pl.lit(2.0).pow(pl.lit(2.0).pow(-exact)) / ratio - 1.0).abs() < 1e-9
    marked = points.with_columns(pl.when(is_exponential).then(exact).alias("schema"))
    coarsest = marked.with_columns(pl.col("schema").min().over("group").alias("to"))
    steps = pl.lit(2.0).pow(pl.col("schema") - pl.col("to"))
    index = (pl.col("high").log(2.0) * pl.lit(2.0).pow(pl.col("schema"))).round()  # upper edge is base ** index
    coarse = (index / steps).ceil()
    edge = pl.lit(2.0)
    high = edge.pow(coarse / pl.lit(2.0).pow(pl.col("to")))
    low = edge.pow((coarse - 1.0) / pl.lit(2.0).pow(pl.col("to")))
    finer = pl.col("schema").is_not_null() & (pl.col("schema") > pl.col("to"))
    moved = coarsest.with_columns(
        pl.when(finer).then(low).otherwise("low").alias("low"), pl.when(finer).then(high).otherwise("high").alias("high")
    )
    # The same edge, printed from two schemas, may differ in its last digit.
    rounded = moved.with_columns(pl.col("low", "high").round_sig_figs(12))
    return rounded.group_by("group", "step", "low", "high").agg(pl.col("value").sum())


def _processes(api: Prometheus, groups: list[Labels], steps: Steps) -> pl.DataFrame:
    """Of each group its target, and the first step at which that is known to have been scraped."""
    up, target = scraped(api, groups, steps), targets(groups)
    first = np.where(up.any(axis=1), up.argmax(axis=1), steps.count + 1)
    told = {"group": np.arange(len(groups)), "target": target, "scraped": first[target]}
    return pl.DataFrame(told, schema={"group": pl.UInt32, "target": pl.Int64, "scraped": pl.Int64})


def _growth(points: pl.DataFrame, process: pl.DataFrame) -> pl.DataFrame:
    """What each bucket grew by since the point before; a count that falls is a restart, then the whole value is growth.

    A bucket that is not there yet has 0, and so has a series that begins later than its target's others (see `increase`).
    Otherwise the first point of a series is the baseline.
    """
    whole = points.filter(pl.col("low").is_null() & pl.col("high").is_null()).join(process, on="group").sort("group", "step")
    fell = (pl.col("value") < pl.col("value").shift().over("group")).fill_null(value=False)
    first = pl.col("step").min().over("group")
    known = whole.select(
        "group",
        "step",
        fell.cast(pl.Int32).cum_sum().over("group").alias("life"),
        ((pl.col("step") == first) & (first <= pl.min_horizontal(pl.col("step").min().over("target"), "scraped"))).alias(
            "baseline"
        ),
    )
    parts = points.filter(pl.col("low").is_not_null()).join(known, on=["group", "step"]).sort("group", "low", "high", "step")
    previous = pl.col("value").shift().over("group", "life", "low", "high").fill_null(0.0)
    grown = pl.when("baseline").then(0.0).otherwise(pl.col("value") - previous)
    return parts.with_columns(grown.alias("value")).filter((pl.col("value") != 0.0) & (pl.col("step") > 0))


def _seconds(grown: pl.DataFrame, scale: float, value: pl.Expr) -> pl.DataFrame:
    """As `GROWN`: the step before the point is the one it grew in."""
    return grown.select(
        pl.col("group"),
        (pl.col("step") - 1).alias("step"),
        (pl.col("low") * scale).alias("low_s"),
        (pl.col("high") * scale).alias("high_s"),
        value.alias("value"),
    ).cast(GROWN)
