"""The maths of exponential histograms: which bucket a duration falls in, and what a bucket says about it.

OpenTelemetry's layout: base = 2 ** (2 ** -scale), bucket `index` holds (base ** index, base ** (index + 1)]. Two histograms
merge by adding counts; a coarser scale is an arithmetic shift of the index.
Source: OpenTelemetry metrics data model, exponential histogram.
"""

from collections.abc import Sequence
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
