"""Native histograms as rows of the metric store.

The API's JSON does not say a histogram's schema; the ratio of a bucket's edges is its base. Empty buckets are left out. When
the server halves the resolution, two neighbours become one: then all of a series' points are brought to the coarser one.
Source: prometheus/docs, specs/native_histograms.md.

Functions over time came to know native histograms late (of `last_over_time` Prometheus 2.42 makes zeros). So the value at a
step's end is asked for, and a step is read as scraped where a series that had samples in it has none at its end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from .api import Native, Prometheus, Series, Steps, points_of
from .classic import GROWN, Found, Reading, as_rows
from .increase import Floats
from .matrix import Labels, Matrix, as_matrix, identity_of, scraped, targets, times_of
from .profile import SECONDS, Histogram
from .restarts import Asked, Hidden, Witness, back, hidden, known_since, marked, runs_of, scraped_within, steps_of

_POINTS: Final = pl.Schema(
    {"group": pl.UInt32(), "at": pl.Float64(), "low": pl.Float64(), "high": pl.Float64(), "value": pl.Float64()}
)
_BOTH_CLOSED: Final = 3
"""How a zero bucket is marked: both of its edges belong to it."""
_RESOLUTION_S: Final = 60
"""How far apart counts are looked at that show a restart, in steps of minutes and more; else a fourth of a step."""


def read_native(api: Prometheus, found: Found, steps: Steps) -> Reading:
    """Buckets and sums of a native histogram, in seconds; every point as the server has it, not extrapolated."""
    assert isinstance(found.metric, Histogram)  # noqa: S101 - the reader sorts them
    held = _held(api, Asked((found.name,), found.metric.match, steps))
    scale = SECONDS[found.metric.unit]
    process = pl.DataFrame(
        {"group": np.arange(len(held.groups)), "target": targets(held.groups), "scraped": held.known_s[targets(held.groups)]},
        schema={"group": pl.UInt32, "target": pl.Int64, "scraped": pl.Float64},
    )
    buckets = _growth(_one_resolution(_buckets(held.points)), process)
    sums = _growth(_sums(held.points), process)
    fixed = {"phase": found.metric.phase}
    parts = [("bucket", buckets, pl.col("value")), ("sum_s", sums, pl.col("value") * scale)]
    rows = [
        as_rows(_seconds(grown, steps, scale, value), held.groups, found, steps, {**fixed, "measure": measure})
        for measure, grown, value in parts
    ]
    return Reading(pl.concat(rows), sum(len(point.buckets) + 1 for _, _, point in held.points))


Point = tuple[int, float, Native]
"""Number of the series, time in seconds, counts."""


@dataclass(frozen=True, eq=False)
class _Held:
    """The points of all series, and from when on each of their `targets` is known to have been scraped."""

    groups: list[Labels]
    points: list[Point]
    known_s: Floats


def _held(api: Prometheus, asked: Asked) -> _Held:
    """The points at steps, and in steps that hide something all that were scraped."""
    steps, (query,) = asked.steps, asked.selectors()
    at_ends = [one for one in api.range(query, steps) if one.histograms]
    matrix = _counts(at_ends, steps)
    known_s = known_since(api, matrix, steps)
    restarts = Witness(f"histogram_count({query})", max(1, min(_RESOLUTION_S, steps.step_s // 4))).restarts(api, steps)
    runs = list(runs_of(hidden(matrix, matrix.increase(known_s), steps, restarts, *_unseen(api, query, steps, at_ends))))
    again = [one for run in runs for one in asked.raw(api, run) if one.histograms]
    names = [identity_of(one.metric) for one in (*at_ends, *again)]
    number = {name: place for place, name in enumerate(dict.fromkeys(names))}
    points = {
        (number[name], at): point for name, one in zip(names, (*at_ends, *again), strict=True) for at, point in one.histograms
    }
    groups: list[Labels] = [dict(name) for name in number]
    # New series are numbered last, and so are their processes.
    since_s = scraped(api, groups, steps) if runs else known_s
    since_s[: len(known_s)] = np.minimum(known_s, since_s[: len(known_s)])
    for run in runs:
        since_s = np.minimum(since_s, scraped_within(api, groups, run, steps))
    return _Held(groups, [(*place, point) for place, point in points.items()], since_s)


def _unseen(api: Prometheus, query: str, steps: Steps, at_ends: Sequence[Series]) -> Iterator[Hidden]:
    """Steps with samples of a series that has no value at their end; steps in which one is back after long."""
    there = {(identity_of(one.metric), at) for one in at_ends for at, _ in one.histograms}
    counted = api.range(f"count_over_time({query}[{steps.step_s}s])", steps)
    points = points_of(counted)
    yield steps_of(
        (
            (one.metric, [at for at in each[:, 0].tolist() if (identity_of(one.metric), at) not in there])
            for one, each in zip(counted, points, strict=True)
        ),
        steps,
    )
    present = as_matrix(counted, points, times_of(steps))
    yield marked(present, back(present, steps))


def _counts(series: Sequence[Series], steps: Steps) -> Matrix:
    """How many calls each series has counted at each step."""
    points = [np.array([(at, float(point.count)) for at, point in one.histograms]).reshape(-1, 2) for one in series]
    return as_matrix(series, points, times_of(steps))


def _buckets(points: Sequence[Point]) -> pl.DataFrame:
    """Cumulative count of each bucket at each point; the point at which nothing is held is a row without edges."""
    rows = [
        (number, at, low, float(right), float(count))
        for number, at, point in points
        for rule, left, right, count in point.buckets
        for low in [0.0 if rule == _BOTH_CLOSED else float(left)]
    ]
    empty = [(number, at, None, None, float(point.count)) for number, at, point in points]
    return pl.DataFrame([*rows, *empty], schema=_POINTS, orient="row", infer_schema_length=None)


def _sums(points: Sequence[Point]) -> pl.DataFrame:
    """Cumulative sum at each point, beside the count that shows a restart."""
    rows = [
        (number, at, edge, None, float(value))
        for number, at, point in points
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
    return rounded.group_by("group", "at", "low", "high").agg(pl.col("value").sum())


def _growth(points: pl.DataFrame, process: pl.DataFrame) -> pl.DataFrame:
    """What each bucket grew by since the point before; a count that falls is a restart, then the whole value is growth.

    A bucket that is not there yet has 0, and so has a series that begins later than its target's others (see `increase`).
    Otherwise the first point of a series is the baseline.
    """
    whole = points.filter(pl.col("low").is_null() & pl.col("high").is_null()).join(process, on="group").sort("group", "at")
    fell = (pl.col("value") < pl.col("value").shift().over("group")).fill_null(value=False)
    first = pl.col("at").min().over("group")
    known = whole.select(
        "group",
        "at",
        fell.cast(pl.Int32).cum_sum().over("group").alias("life"),
        ((pl.col("at") == first) & (first <= pl.min_horizontal(pl.col("at").min().over("target"), "scraped"))).alias(
            "baseline"
        ),
    )
    parts = points.filter(pl.col("low").is_not_null()).join(known, on=["group", "at"]).sort("group", "low", "high", "at")
    previous = pl.col("value").shift().over("group", "life", "low", "high").fill_null(0.0)
    grown = pl.when("baseline").then(0.0).otherwise(pl.col("value") - previous)
    return parts.with_columns(grown.alias("value")).filter(pl.col("value") != 0.0)


def _seconds(grown: pl.DataFrame, steps: Steps, scale: float, value: pl.Expr) -> pl.DataFrame:
    """As `GROWN`: a point's growth was counted in the step that it lies in; what lies before the first is a baseline."""
    step = ((pl.col("at") - steps.since_s) / steps.step_s - 1e-6).ceil().cast(pl.Int64) - 1
    timed = grown.with_columns(step=step).filter(pl.col("step") >= 0)
    return (
        timed.select(
            pl.col("group"),
            pl.col("step"),
            (pl.col("low") * scale).alias("low_s"),
            (pl.col("high") * scale).alias("high_s"),
            value.alias("value"),
        )
        .group_by("group", "step", "low_s", "high_s")
        .agg(pl.col("value").sum())
        .cast(GROWN)
    )
