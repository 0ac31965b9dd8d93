"""The maths of exponential histograms: which bucket a duration falls in, and what a bucket says about it.

OpenTelemetry's layout: base = 2 ** (2 ** -scale), bucket `index` holds (base ** index, base ** (index + 1)]. Two histograms
merge by adding counts; a coarser scale is an arithmetic shift of the index.
Source: OpenTelemetry metrics data model, exponential histogram.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

INDEX_TYPE: Final = pl.Int16
"""Column type of an index: FLOOR_S and CEILING_S keep it within 12 bits at scale 6."""

SCALE: Final = 6
"""The scale everything is counted at: base 2 ** (1/64) = 1.0109, 64 buckets for each doubling."""

FLOOR_S: Final = 2.0**-30
"""Durations below this (0.93 ns), zero among them, are counted in the bucket that ends here."""

CEILING_S: Final = 2.0**30
"""Durations above this (34 years) are counted in the bucket that ends here."""

# A logarithm is off by at most 5e-13 (in units of a bucket, at the ends of the range). Taking this much off before rounding
# up keeps every edge in the bucket that it closes; a duration that is within 1.6e-13 of itself above an edge counts below it.
_NUDGE: Final = 2.0**-36


UNSEEN: Final = -(1 << 15)
"""Stands for no bucket where an index must be a number: lower than any."""

_SLOT_SHIFT: Final = np.uint64(52 - 7)
"""Durations that agree in sign, exponent and 7 bits of the mantissa share a slot: less than a bucket wide at `SCALE`."""


def relative_error(scale: int = SCALE) -> float:
    """How far `midpoint` may be from a duration in its bucket, as a ratio of that duration: (base - 1) / (base + 1).

    >>> round(relative_error(6), 4)
    0.0054
    """
    base: float = 2.0 ** (2.0**-scale)
    return (base - 1.0) / (base + 1.0)


def index_of(durations_s: Sequence[float] | NDArray[np.float64], scale: int = SCALE) -> NDArray[np.int64]:
    """Bucket of each duration in seconds; negative and zero ones count at FLOOR_S.

    >>> index_of([1.0, 2.0, 2.001]).tolist()
    [-1, 63, 64]
    """
    held = np.clip(np.asarray(durations_s, dtype=np.float64), FLOOR_S, CEILING_S)
    return np.ceil(np.log2(held) * 2.0**scale - _NUDGE).astype(np.int64) - 1


def quick_index_of(durations_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """`index_of` at `SCALE`, `UNSEEN` for NaN, without a logarithm: looked up by slot, and one comparison within it."""
    slot = (durations_s.view(np.uint64) >> _SLOT_SHIFT).view(np.int64)
    first, last_s = _slots()
    index: NDArray[np.int64] = first.take(slot)
    index += durations_s > last_s.take(slot)
    return index


@cache
def _slots() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of each slot the bucket that it begins in, and the longest duration in that one; the slot ends within the next."""
    low, high = (int(index) for index in index_of([0.0, CEILING_S]))
    floor, ceiling, infinite, below_zero = (
        int(np.float64(seconds).view(np.uint64) >> _SLOT_SHIFT) for seconds in (FLOOR_S, CEILING_S, np.inf, -0.0)
    )
    first, last_s = np.full(2 * below_zero, low), np.full(2 * below_zero, np.inf)
    between = slice(floor, ceiling)
    first[between] = index_of((np.arange(floor, ceiling, dtype=np.uint64) << _SLOT_SHIFT).view(np.float64))
    last_s[between] = _longest_in(np.arange(low, high + 1))[first[between] - low]
    first[ceiling : infinite + 1] = high
    first[infinite + 1 : below_zero] = first[below_zero + infinite + 1 :] = UNSEEN
    return first, last_s


def _longest_in(index: NDArray[np.int64]) -> NDArray[np.float64]:
    """The longest duration that `index_of` puts in each bucket, found by bisection between a shorter and a longer one."""
    held, beyond = ((upper_edge(index) * ratio).view(np.int64) for ratio in (1.0 - 1e-11, 1.0 + 1e-11))
    while (beyond - held).max() > 1:
        middle = held + (beyond - held) // 2
        inside = index_of(middle.view(np.float64)) <= index
        held, beyond = np.where(inside, middle, held), np.where(inside, beyond, middle)
    return held.view(np.float64)


def index_expr(duration_s: pl.Expr, scale: int = SCALE) -> pl.Expr:
    """`index_of` as a Polars expression; null where the duration is null or NaN."""
    held = duration_s.fill_nan(None).clip(FLOOR_S, CEILING_S)
    return (held.log(2.0) * 2.0**scale - _NUDGE).ceil().cast(INDEX_TYPE) - 1


def lower_edge(index: NDArray[np.int64] | int, scale: int = SCALE) -> NDArray[np.float64]:
    """Seconds that every duration in the bucket exceeds: base ** index."""
    return np.exp2(np.asarray(index, dtype=np.float64) / 2.0**scale)


def upper_edge(index: NDArray[np.int64] | int, scale: int = SCALE) -> NDArray[np.float64]:
    """Seconds that no duration in the bucket exceeds: base ** (index + 1)."""
    return np.exp2((np.asarray(index, dtype=np.float64) + 1.0) / 2.0**scale)


def midpoint(index: NDArray[np.int64] | int, scale: int = SCALE) -> NDArray[np.float64]:
    """The harmonic mean of the edges: no duration in the bucket is further from it than `relative_error(scale)`."""
    base: float = 2.0 ** (2.0**-scale)
    return upper_edge(index, scale) * (2.0 / (base + 1.0))


def midpoint_expr(index: pl.Expr, scale: int = SCALE) -> pl.Expr:
    """`midpoint` as a Polars expression."""
    base: float = 2.0 ** (2.0**-scale)
    exponent = (index.cast(pl.Float64) + 1.0) / 2.0**scale
    return pl.lit(2.0).pow(exponent) * (2.0 / (base + 1.0))


def coarser(index: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
    """The index `steps` scales coarser: an arithmetic shift, so that each bucket falls whole into one.

    >>> coarser(np.array([-3, -1, 0, 127]), 6).tolist()
    [-1, -1, 0, 1]
    """
    if steps < 0:
        raise ValueError(f"{steps} steps coarser: a histogram cannot be made finer than it was counted")
    return np.right_shift(index, steps)


def coarser_expr(index: pl.Expr, steps: int) -> pl.Expr:
    """`coarser` as a Polars expression (floor division is the shift)."""
    if steps < 0:
        raise ValueError(f"{steps} steps coarser: a histogram cannot be made finer than it was counted")
    return (index // int(2**steps)).cast(INDEX_TYPE)


def merge(
    left: tuple[NDArray[np.int64], NDArray[np.int64]], right: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorted (index, count) of both together; the two must have one scale.

    >>> [part.tolist() for part in merge((np.array([1, 2]), np.array([5, 1])), (np.array([2, 9]), np.array([3, 1])))]
    [[1, 2, 9], [5, 4, 1]]
    """
    index, place = np.unique(np.concatenate([left[0], right[0]]), return_inverse=True)
    count = np.zeros(len(index), dtype=np.int64)
    np.add.at(count, place, np.concatenate([left[1], right[1]]))
    return index, count
