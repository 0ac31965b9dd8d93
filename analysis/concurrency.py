"""How many calls were in progress at each moment: by sweep over the calls, and by Little's law from rates and durations."""

import heapq
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from . import histogram
from .rollup import Rollup

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Concurrency:
    """A step function: `level[i]` calls are in progress from `at_s[i]` until `at_s[i + 1]`; nothing before and after."""

    at_s: Floats
    level: Floats

    @property
    def span_s(self) -> float:
        """Seconds from the first start to the last end."""
        return float(self.at_s[-1] - self.at_s[0]) if len(self.at_s) else 0.0

    @property
    def peak(self) -> float:
        """The most calls in progress at a time."""
        return float(self.level.max(initial=0.0))

    @property
    def mean(self) -> float:
        """Calls in progress, averaged over time."""
        return float(self._area[-1] / self.span_s) if self.span_s > 0 else 0.0

    def before(self, moments_s: Floats) -> Floats:
        """Calls in progress just before each moment: what a call that begins then meets."""
        place = np.searchsorted(self.at_s, moments_s, side="left") - 1
        return np.where(place >= 0, self.level[np.maximum(place, 0)], 0.0)

    def during(self, start_s: Floats, end_s: Floats) -> Floats:
        """Calls in progress, averaged over each call's own time; for a call of no length, those when it began."""
        length_s = end_s - start_s
        met = (self._area_until(end_s) - self._area_until(start_s)) / np.where(length_s > 0, length_s, 1.0)
        return np.where(length_s > 0, met, self.before(start_s))

    @cached_property
    def _area(self) -> Floats:
        """Calls in progress, added up over time until each of `at_s`."""
        return np.concatenate([[0.0], np.cumsum(self.level[:-1] * np.diff(self.at_s))])

    def _area_until(self, moments_s: Floats) -> Floats:
        return np.interp(moments_s, self.at_s, self._area)


def sweep(start_s: Floats, end_s: Floats, weights: Floats | None = None) -> Concurrency:
    """The concurrency of calls from `start_s` to `end_s`; a call that ends as another begins does not meet it.

    weights: how many calls each stands for, where calls are a sample.

    >>> found = sweep(np.array([0.0, 1.0, 2.0]), np.array([2.0, 3.0, 4.0]))
    >>> found.peak, found.mean, found.before(np.array([0.0, 1.0])).tolist()
    (2.0, 1.5, [0.0, 1.0])
    """
    weight = np.ones(len(start_s)) if weights is None else weights
    moments, place = np.unique(np.concatenate([start_s, end_s]), return_inverse=True)
    changes = np.bincount(place, weights=np.concatenate([weight, -weight]), minlength=len(moments))
    return Concurrency(moments, np.cumsum(changes))


def littles_law(rate_per_s: float, mean_s: float) -> float:
    """Mean number of calls in progress from their rate and mean duration, where single calls are not known.

    Source: Little 1961, L = lambda W; it holds over windows that are long beside a call.

    >>> littles_law(20.0, 1.5)
    30.0
    """
    return rate_per_s * mean_s


def in_progress_by_bucket(rollup: Rollup) -> pl.DataFrame:
    """Calls in progress of each hop on average, by bucket of time: start, hop, in_progress. The rollup is of total, by hop.

    Little's law on the histogram: the seconds that calls of a bucket took, over its own; a call counts where it began.
    """
    if rollup.bucket is None:
        raise ValueError("this rollup has no time buckets: roll up with bucket='1m'")
    began = pl.Series([datetime(2026, 1, 1)])  # noqa: DTZ001 - any moment will do
    length_s = (began.dt.offset_by(rollup.bucket) - began).dt.total_seconds()[0]
    seconds = pl.col("weight") * histogram.midpoint_expr(pl.col("index"), rollup.scale)
    held = rollup.cells.drop_nulls("index").group_by("start", "hop").agg(in_progress=seconds.sum() / length_s)
    return held.sort("start", "hop")


def refused(start_s: Floats, end_s: Floats, limit: int) -> Bools:
    """Which calls a breaker of `limit` calls at a time would have refused, all others taking as long as they took.

    Calls in order of their start. Under the limit calls take no longer than they took, mostly less: an upper bound, then.

    >>> refused(np.array([0.0, 1.0, 2.0]), np.array([2.0, 3.0, 4.0]), 1).tolist()
    [False, True, False]
    """
    running: list[float] = []
    answers = np.zeros(len(start_s), dtype=bool)
    for number, (begins_s, ends_s) in enumerate(zip(start_s.tolist(), end_s.tolist(), strict=True)):
        while running and running[0] <= begins_s:
            heapq.heappop(running)
        if len(running) >= limit:
            answers[number] = True
        else:
            heapq.heappush(running, ends_s)
    return answers
