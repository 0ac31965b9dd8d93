"""Classic histograms and counters as rows of the metric store."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from .api import Prometheus, Steps, selector
from .increase import Floats
from .labels import words_of
from .matrix import Matrix, at_steps
from .profile import SECONDS, Counter, Histogram, Metric, Profile
from .restarts import Asked, Witness, mended

GROWN = pl.Schema(
    {"group": pl.UInt32(), "step": pl.UInt32(), "low_s": pl.Float64(), "high_s": pl.Float64(), "value": pl.Float64()}
)
"""What grew in a step: number of the group, of the step, and for a bucket its edges."""


@dataclass(frozen=True)
class Reading:
    """Rows of the metric store but for `source`; samples: how much the server sent for them; notes for the user."""

    rows: pl.DataFrame
    samples: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """A metric that a server has: the profile's table of it, under the name it goes by there."""

    profile: Profile
    metric: Metric
    name: str
    native: bool = False

    @property
    def preference(self) -> int:
        """Its place among the profile's metrics."""
        return [*self.profile.histograms, *self.profile.counters].index(self.metric)


def read_classic(api: Prometheus, found: Found, steps: Steps) -> Reading:
    """Buckets and sums of a classic histogram, in seconds."""
    assert isinstance(found.metric, Histogram)  # noqa: S101 - the reader sorts them
    scale, fixed = SECONDS[found.metric.unit], {"phase": found.metric.phase}
    # Read together, since a sum alone does not show a restart after which longer calls came.
    asked = Asked((f"{found.name}_bucket", f"{found.name}_sum"), found.metric.match, steps)
    grown = _grown(api, asked, f"{found.name}_count")
    frame, notes = _buckets(grown, scale)
    total = _values(grown, scale)
    groups = grown.matrix.groups
    rows = (
        as_rows(part, groups, found, steps, {**fixed, "measure": measure})
        for measure, part in (("bucket", frame), ("sum_s", total))
    )
    return Reading(pl.concat(rows), grown.matrix.values.size, (*notes, *_unknown_beginnings(found, grown)))


def read_counter(api: Prometheus, found: Found, steps: Steps) -> Reading:
    """What a counter grew by."""
    assert isinstance(found.metric, Counter)  # noqa: S101 - the reader sorts them
    grown = _grown(api, Asked((found.name,), found.metric.match, steps), found.name)
    rows = as_rows(_values(grown), grown.matrix.groups, found, steps, {"phase": None, "measure": found.metric.measure})
    return Reading(rows, grown.matrix.values.size, tuple(_unknown_beginnings(found, grown)))


@dataclass(frozen=True, eq=False)
class _Grown:
    matrix: Matrix
    counts: Floats
    before: Floats


def _grown(api: Prometheus, asked: Asked, witness: str) -> _Grown:
    matrix = at_steps(api, asked.selectors(), asked.steps)
    restarts = Witness(selector(witness, asked.match)).restarts(api, asked.steps)
    found = mended(api, asked, matrix, restarts)
    return _Grown(matrix, found.counts, found.before)


def _buckets(grown: _Grown, scale: float) -> tuple[pl.DataFrame, list[str]]:
    """Calls between neighbouring edges; `le` counts all calls up to it."""
    has_edge = ~np.isnan(grown.matrix.edge)
    group, edge, counts = grown.matrix.group[has_edge], grown.matrix.edge[has_edge], grown.counts[has_edge]
    lowest = np.diff(group, prepend=-1) != 0
    below = np.where(lowest[:, None], 0.0, np.roll(counts, 1, axis=0))
    calls = counts - below
    low = np.where(lowest, 0.0, np.roll(edge, 1)) * scale
    row, step = np.nonzero(calls > 0.0)
    frame = pl.DataFrame([group[row], step, low[row], edge[row] * scale, calls[row, step]], schema=GROWN, orient="col")
    lost = float(-calls.sum(where=calls < 0.0))
    notes = [f"buckets that count fewer calls than a lower one: {lost:g} calls too many were counted there"] if lost else []
    return frame, notes


def _values(grown: _Grown, scale: float = 1.0) -> pl.DataFrame:
    """Counters, and sums: what has no edge."""
    (place,) = np.nonzero(np.isnan(grown.matrix.edge))
    row, step = np.nonzero(grown.counts[place])
    none = np.full(len(row), np.nan)
    values = grown.counts[place[row], step] * scale
    frame = pl.DataFrame([grown.matrix.group[place[row]], step, none, none, values], schema=GROWN, orient="col")
    return frame.with_columns(pl.col("low_s", "high_s").fill_nan(None))


def as_rows(
    grown: pl.DataFrame, groups: list[Mapping[str, str]], found: Found, steps: Steps, fixed: Mapping[str, str | None]
) -> pl.DataFrame:
    """`grown` (as `GROWN`) as series with the words of its groups; groups with the same words are added."""
    told, grown = _by_words(grown, words_of(groups, found.profile, found.metric))
    start_ns = (pl.lit(steps.since_s, pl.Int64) + pl.col("step").cast(pl.Int64) * steps.step_s) * 10**9
    timed = grown.with_columns(start_ns.cast(pl.Datetime("ns", "UTC")).alias("start"))
    series = timed.group_by("group", "low_s", "high_s", maintain_order=True).agg("start", "value")
    return told[series["group"]].hstack(
        series.select(
            pl.lit(found.profile.name).alias("profile"),
            pl.lit(found.metric.metric).alias("instrument"),
            pl.lit(found.preference, dtype=pl.UInt8).alias("preference"),
            "start",
            pl.lit(float(steps.step_s)).alias("step_s"),
            *(pl.lit(value, dtype=pl.String).alias(name) for name, value in fixed.items()),
            "low_s",
            "high_s",
            "value",
        )
    )


def _by_words(grown: pl.DataFrame, words: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The distinct rows of `words`, and `grown` with their number as its group, those of equal words added."""
    number = words.select(pl.struct(pl.all()).rank("dense").cast(pl.UInt32) - 1).to_series()
    told = words.with_columns(number.alias("word")).unique("word").sort("word").drop("word")
    numbered = grown.with_columns(number[grown["group"]].alias("group"))
    if told.height == words.height:
        return told, numbered
    place = ["group", "low_s", "high_s", "step"]
    return told, numbered.group_by(place).agg(pl.col("value").sum()).sort(place)


def _unknown_beginnings(found: Found, grown: _Grown) -> Iterator[str]:
    edge = grown.matrix.edge
    whole = np.isnan(edge) if isinstance(found.metric, Counter) else np.isinf(edge)
    before = float(grown.before[whole].sum())
    if before:
        yield (
            f"{found.name}: {before:g} calls had been counted when their target was first scraped within the window; when "
            "they were made is not known, so they are left out"
        )
