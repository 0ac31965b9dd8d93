"""What a data point holds: counts by numbered bucket, exponential or between explicit bounds; a counter is one bucket.

Exponential buckets are brought to the rollup's scale where they are finer, and two of different scales to the coarser one: an
arithmetic shift of the number, by which each bucket falls whole into one.
Source: OpenTelemetry metrics data model, exponential histogram: bucket i holds (base ** i, base ** (i + 1)], base = 2 **
(2 ** -scale); merging and scale change.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Final

from meshslo.telemetry.buckets import ROLLUP_SCALE

_SMALLEST: Final = 2.0**-128
"""Upper edge of a zero bucket that states none; as Prometheus has it."""
_EXPONENTS: Final = (-1022.0, 1023.0)
"""Of two, in what a float can hold."""


@dataclass(frozen=True)
class Held:
    """Counts by bucket. `scale` is None where there are `bounds` (in the metric's own unit), `total` the sum of all values."""

    counts: dict[int, float]
    scale: int | None = None
    bounds: tuple[float, ...] = ()
    zeros: float = 0.0
    zero_threshold: float = 0.0
    total: float | None = None

    def edges(self) -> Iterator[tuple[float, float, float]]:
        """(lower edge, upper edge, count) of each bucket that is not empty; infinite where there is no upper edge."""
        if self.zeros:
            yield 0.0, max(self.zero_threshold, _SMALLEST), self.zeros
        for number, count in sorted(self.counts.items()):
            if count:
                yield self._low(number), self._low(number + 1), count

    def _low(self, number: int) -> float:
        if self.scale is not None:
            return _edge(number, self.scale)
        if number == 0:
            return 0.0
        return self.bounds[number - 1] if number <= len(self.bounds) else inf

    def coarsened(self, scale: int, zero_threshold: float) -> "Held":
        """The same at an exponential `scale` that is not finer, with what is below the threshold counted as zero."""
        assert self.scale is not None  # noqa: S101  the caller looks
        counts: defaultdict[int, float] = defaultdict(float)
        zeros = self.zeros
        for number, count in self.counts.items():
            if zero_threshold and _edge(number + 1, self.scale) <= zero_threshold:
                zeros += count
            else:
                counts[number >> (self.scale - scale)] += count
        return replace(self, counts=dict(counts), scale=scale, zeros=zeros, zero_threshold=zero_threshold)


def _edge(number: int, scale: int) -> float:
    low, high = _EXPONENTS
    return float(2.0 ** min(max(number * 2.0**-scale, low), high))


def held_in(kind: str, point: Any) -> Held:
    """What a data point that has no fault holds; `kind` is the metric's."""
    if kind == "sum":
        return Held({0: float(getattr(point, point.WhichOneof("value") or "as_int"))})
    total = point.sum if point.HasField("sum") else None
    if kind == "histogram":
        counts = point.bucket_counts or [point.count]
        return Held(_filled(0, counts), bounds=tuple(point.explicit_bounds), total=total)
    exact = Held(
        _filled(point.positive.offset, point.positive.bucket_counts),
        scale=point.scale,
        zeros=float(point.zero_count),
        zero_threshold=point.zero_threshold,
        total=total,
    )
    return exact.coarsened(min(point.scale, ROLLUP_SCALE), point.zero_threshold)


def _filled(first: int, counts: Any) -> dict[int, float]:
    return {number: float(count) for number, count in enumerate(counts, first) if count}


def difference(now: Held, before: Held) -> Held | None:
    """What was counted after `before` and up to `now`; None where these are no two moments of one histogram."""
    if now.scale is not None and before.scale is not None:
        scale, threshold = min(now.scale, before.scale), max(now.zero_threshold, before.zero_threshold)
        now, before = now.coarsened(scale, threshold), before.coarsened(scale, threshold)
    elif now.scale != before.scale or now.bounds != before.bounds:
        return None
    numbers = now.counts.keys() | before.counts.keys()
    counts = {number: now.counts.get(number, 0.0) - before.counts.get(number, 0.0) for number in numbers}
    zeros = now.zeros - before.zeros
    if zeros < 0 or any(count < 0 for count in counts.values()):
        return None
    known = now.total is not None and before.total is not None
    total = max(0.0, now.total - before.total) if known else None  # type: ignore[operator]  # both are known
    return replace(now, counts={number: count for number, count in counts.items() if count}, zeros=zeros, total=total)
