"""Rollups' histograms as others write them, and back: OpenTelemetry's exponential, Prometheus' native, classic buckets.

For notebooks and scripts with a histogram in their hands. What services send `telemetry` reads into its metric store by itself,
since it imports nothing of this; tests hold both to the same buckets.

The first two are the same buckets under other numbers, so that nothing is lost; a coarser scale is an arithmetic shift. Classic
buckets are wide and end anywhere: what is known of a call in one is its edges, and they are carried along.
Sources: OpenTelemetry metrics data model, ExponentialHistogram; Prometheus, specs/native_histograms.md (its bucket i ends at
base ** i, OpenTelemetry's at base ** (i + 1)).

What somebody else's histogram bears: `from_classic`, `from_otel`, `from_native`, and the quantile of the calls in it.

>>> found = from_classic([0.1, 1.0, 10.0, math.inf], [5000, 9800, 9990, 10_000]).table().quantile(0.95)
>>> found.low_s, found.high_s, found.status
(0.1, 1.0, 'ok')
>>> from_otel(OtelHistogram(0, 0, 0.0, -1, (3, 4))).edges().table().quantile(0.99).needs_calls  # or OtelHistogram.of(point)
292

What others take of ours: `open_store(path).rollup(...)`, of which each group is a data point or a native histogram.

>>> from meshslo.analysis import from_calls
>>> start = pl.datetime(2026, 11, 2, time_zone="UTC", time_unit="ns").alias("start")
>>> words = (pl.lit(word).alias(name) for name, word in {"hop": "a>b", "vantage": "client", "outcome": "ok"}.items())
>>> store = from_calls(pl.select(start, *words, pl.Series("duration_s", [0.5, 1.0, 8.0])))
>>> for words, buckets in of_rollup(store.rollup(by=["hop"], bucket=None, phases=["total"])):
...     words["hop"], to_otel(buckets.coarser(0)).bucket_counts, to_native(buckets.coarser(0)).spans
('a>b', (1, 1, 0, 0, 1), ((-1, 2), (2, 1)))
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from . import histogram
from .adding import indices
from .folding import Rollup, place
from .survival import LifeTable
from .tables import build

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FLOOR_INDEX: Final = int(histogram.index_of([0.0])[0])
"""Our bucket of what lasted no time; to others it is the zero bucket."""

FINEST_SCHEMA: Final = 8
COARSEST_SCHEMA: Final = -4
"""Scales that Prometheus knows."""


@dataclass(frozen=True, eq=False)
class Buckets:
    """Counts of exponential buckets, sorted, none of them empty; zeros are those in [0, zero_s]."""

    index: Ints
    count: Ints
    scale: int = histogram.SCALE
    zeros: int = 0
    zero_s: float = histogram.FLOOR_S

    @classmethod
    def of_ours(cls, index: Ints, count: Ints, scale: int = histogram.SCALE) -> "Buckets":
        """The buckets of a rollup's group at its scale; the lowest holds what others count as zeros."""
        floor, floor_s = _floor(scale)
        zero = index == floor
        return cls(index[~zero], count[~zero], scale, int(count[zero].sum()), floor_s)

    def ours(self) -> tuple[Ints, Ints]:
        """Index and count as a rollup at the same scale has them; ValueError where the zero bucket is wider than ours."""
        if not self.zeros:
            return self.index, self.count
        floor, floor_s = _floor(self.scale)
        if self.zero_s > floor_s:
            raise ValueError(
                f"the zero bucket reaches to {self.zero_s:g} s, beyond {floor_s:g} s: its calls are in no bucket of ours; "
                "take .edges()"
            )
        return histogram.merge((np.array([floor]), np.array([self.zeros])), (self.index, self.count))

    def coarser(self, scale: int) -> "Buckets":
        """The same at a coarser scale; ValueError for a finer one."""
        index, place = np.unique(histogram.coarser(self.index, self.scale - scale), return_inverse=True)
        count = np.bincount(place, weights=self.count, minlength=len(index)).astype(np.int64)
        return Buckets(index, count, scale, self.zeros, self.zero_s)

    def edges(self) -> "Edged":
        """Lower and upper edge and count of each bucket, the zero bucket first where it holds any."""
        low, high = histogram.lower_edge(self.index, self.scale), histogram.upper_edge(self.index, self.scale)
        if not self.zeros:
            return Edged(low, high, self.count)
        return Edged(np.append(0.0, low), np.append(self.zero_s, high), np.append(self.zeros, self.count))


def _floor(scale: int) -> tuple[int, float]:
    """Our lowest bucket at a scale, and where it ends, in seconds."""
    steps = histogram.SCALE - scale
    index = FLOOR_INDEX >> steps if steps >= 0 else ((FLOOR_INDEX + 1) << -steps) - 1
    return index, max(float(histogram.upper_edge(index, scale)), histogram.FLOOR_S)


class Edged(NamedTuple):
    """So many `calls` lasted longer than `low_s` and no longer than `high_s` (infinite: nobody knows) seconds."""

    low_s: Floats
    high_s: Floats
    calls: Ints

    @property
    def relative_error(self) -> Floats:
        """How far the harmonic mean of the edges may be from a duration between them, as a ratio of it; 1 where one is open."""
        with np.errstate(invalid="ignore"):
            error = (self.high_s - self.low_s) / (self.high_s + self.low_s)
        return np.where(np.isfinite(self.high_s), error, 1.0)

    def table(self) -> LifeTable:
        """The life table of the calls, whose quantiles have intervals that end at edges; cut is what has no upper one."""
        ended = np.isfinite(self.high_s)
        high_s, calls = np.where(ended, self.high_s, self.low_s), self.calls.astype(np.float64)
        edges = {"index": histogram.index_of(high_s), "low_s": self.low_s, "high_s": high_s, "event": ended}
        rows = pl.DataFrame({"group": 0 * self.calls, **edges, "count": self.calls, "weight": calls, "weight_sq": calls})
        return LifeTable(build(rows, np.array([math.nan]), histogram.SCALE))


def of_rollup(rollup: Rollup) -> Iterator[tuple[dict[str, Any], Buckets]]:
    """Each group's words (start, vantage, keys, phase, outcome), and the buckets of its calls that were seen to their end.

    Pulled metrics stay out: their buckets are others' already.
    """
    own = rollup.where(pl.col("event") & (pl.col("vantage") != "metric"))
    index, count = indices(own.counts).astype(np.int64), own.counts["count"].to_numpy().astype(np.int64)
    ends = np.cumsum(own.runs.rows)[:-1]
    words = own.totals.select(each for each in place(own.keys) if each not in ("event", "censored"))
    for row, places, calls in zip(words.iter_rows(named=True), np.split(index, ends), np.split(count, ends), strict=True):
        yield row, Buckets.of_ours(places, calls, own.scale)


@dataclass(frozen=True)
class OtelHistogram:
    """An ExponentialHistogramDataPoint in seconds: fields are named as there; `positive` is offset and bucket_counts."""

    scale: int
    zero_count: int
    zero_threshold: float
    offset: int
    bucket_counts: tuple[int, ...]

    @property
    def count(self) -> int:
        """All calls."""
        return self.zero_count + sum(self.bucket_counts)

    @classmethod
    def of(cls, point: Any) -> "OtelHistogram":
        """That of a data point of the protobuf message or of the SDK, which states no `zero_threshold`.

        ValueError where it counts negative values: those are no durations.
        """
        if any(point.negative.bucket_counts):
            raise ValueError("the data point counts negative values: they are no durations")
        threshold = float(getattr(point, "zero_threshold", 0.0))
        return cls(point.scale, point.zero_count, threshold, point.positive.offset, tuple(point.positive.bucket_counts))


def to_otel(buckets: Buckets) -> OtelHistogram:
    """The data point of the buckets, in seconds."""
    first = int(buckets.index[0]) if len(buckets.index) else 0
    dense = (
        np.bincount(buckets.index - first, weights=buckets.count).astype(np.int64)
        if len(buckets.index)
        else np.array([], np.int64)
    )
    return OtelHistogram(buckets.scale, buckets.zeros, buckets.zero_s, first, tuple(int(n) for n in dense))


def from_otel(point: OtelHistogram) -> Buckets:
    """The buckets of a data point whose unit is the second."""
    counts = np.array(point.bucket_counts, dtype=np.int64)
    filled = np.flatnonzero(counts)
    return Buckets(filled + point.offset, counts[filled], point.scale, point.zero_count, point.zero_threshold)


@dataclass(frozen=True)
class NativeHistogram:
    """A native histogram of whole counts: spans are (offset, length), deltas run over the buckets that spans name."""

    schema: int
    zero_count: int
    zero_threshold: float
    spans: tuple[tuple[int, int], ...]
    deltas: tuple[int, ...]


def to_native(buckets: Buckets) -> NativeHistogram:
    """The native histogram of the buckets, in seconds; ValueError for a scale that Prometheus does not know."""
    if not COARSEST_SCHEMA <= buckets.scale <= FINEST_SCHEMA:
        raise ValueError(f"scale {buckets.scale} is no schema: there are {COARSEST_SCHEMA} to {FINEST_SCHEMA}; use .coarser(8)")
    index = buckets.index + 1
    begins = np.flatnonzero(np.diff(index, prepend=index[:1] - 2) > 1) if len(index) else np.array([], np.int64)
    lengths = np.diff(np.append(begins, len(index)))
    ends = index[begins] + lengths
    # The first span is placed from 0 on, the others from the end of the one before.
    offsets = index[begins] - np.append(0, ends[:-1]) if len(begins) else begins
    spans = tuple((int(offset), int(length)) for offset, length in zip(offsets, lengths, strict=True))
    deltas = tuple(int(step) for step in np.diff(buckets.count, prepend=0))
    return NativeHistogram(buckets.scale, buckets.zeros, buckets.zero_s, spans, deltas)


def from_native(native: NativeHistogram) -> Buckets:
    """The buckets of a native histogram whose unit is the second; empty ones among its spans are left out."""
    numbers: list[int] = []
    end = 0
    for offset, length in native.spans:
        numbers += range(end + offset, end + offset + length)
        end += offset + length
    count = np.cumsum(np.array(native.deltas, dtype=np.int64))
    filled = np.flatnonzero(count)
    index = np.array(numbers, dtype=np.int64)[filled] - 1
    return Buckets(index, count[filled], native.schema, native.zero_count, native.zero_threshold)


def from_classic(bounds_s: Sequence[float], cumulative: Sequence[int]) -> Edged:
    """What a classic histogram says: `cumulative` calls up to each of `bounds_s`, the last of them infinite.

    ValueError where the bounds do not rise or counts fall.
    """
    bounds = np.array(bounds_s, dtype=np.float64)
    counts: Ints = np.diff(np.array([0, *cumulative], dtype=np.int64)).astype(np.int64)
    if len(bounds) != len(counts) or not len(bounds) or not np.isinf(bounds[-1]) or (np.diff(bounds[:-1]) <= 0).any():
        raise ValueError(f"bounds {list(bounds_s)} must rise and end at infinity, with a count for each")
    if (counts < 0).any():
        raise ValueError(f"cumulative counts {list(cumulative)} fall: a bound counts all calls up to it")
    filled = counts > 0
    return Edged(np.append(0.0, bounds[:-1])[filled], bounds[filled], counts[filled])


class Cumulative(NamedTuple):
    """Calls up to each bound: at least and at most; equal where a bound is an edge of ours."""

    least: Ints
    most: Ints


def to_classic(buckets: Buckets, bounds_s: Sequence[float]) -> Cumulative:
    """How many calls lasted no longer than each of `bounds_s`; a bucket that a bound divides leaves it open by its count."""
    edged = buckets.edges()
    bounds = np.array(bounds_s, dtype=np.float64)[:, None]
    # An edge is a power of two that floats miss by a rounding.
    ended, begun = edged.high_s <= bounds * (1.0 + 1e-12), edged.low_s < bounds * (1.0 - 1e-12)
    return Cumulative((ended * edged.calls).sum(axis=1), ((ended | begun) * edged.calls).sum(axis=1))
