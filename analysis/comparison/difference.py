"""Is it more than noise? The difference of two independent estimates with its interval, and many of them judged together.

Nothing about calls in here: estimates with limits go in, differences come out. An interval that is wider than it need be on
one side makes that of the difference wider too, never narrower.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meshslo.analysis.interval import wilson

Floats = NDArray[np.float64]

LEVELS: Final = tuple(0.05 * 2.0 ** (-step / 16) for step in (*range(-48, 0, 8), *range(161), 192, 224, 288))
"""Errors at which intervals are tried; a p-value is the smallest of them at which the interval still leaves out 0.

From 0.05 down to 0.05 / 1000, what Holm asks of the least of a thousand, none is more than 4.5 % larger than need be, and never
smaller. Above, where nothing is decided, and below, where all is, steps are wide.
"""


class Limits(NamedTuple):
    """Estimates between their limits; NaN is not known, an estimate that is known only to be larger has NaN and limits."""

    estimate: Floats
    low: Floats
    high: Floats


def difference(a: Limits, b: Limits) -> Limits:
    """`b` - `a` of independent estimates, from the limits of each.

    Where an estimate is not known but its limits are, the difference lies between the differences of the limits.
    Sources: Zou and Donner 2008 (MOVER); for shares it is Newcombe 1998, method 10, given Wilson's limits.

    >>> [float(part.round(4)[0]) for part in difference(shares([48], [80]), shares([56], [70]))]
    [0.2, 0.0524, 0.3339]
    """
    estimate = b.estimate - a.estimate
    with np.errstate(invalid="ignore"):
        low = estimate - np.hypot(b.estimate - b.low, a.high - a.estimate)
        high = estimate + np.hypot(b.high - b.estimate, a.estimate - a.low)
    known = ~np.isnan(estimate)
    return Limits(estimate, np.where(known, low, b.low - a.high), np.where(known, high, b.high - a.low))


def shares(hits: Sequence[float] | Floats, calls: Sequence[float] | Floats, confidence: float = 0.95) -> Limits:
    """Shares with Wilson's limits (see `interval.wilson`), of numbers that need not be whole; (0, 1) around NaN of no calls."""
    found = [wilson(float(hit), float(n), confidence) for hit, n in zip(hits, calls, strict=True)]
    return Limits(*(np.array([getattr(each, name) for each in found]) for name in ("estimate", "low", "high")))


def p_values(at: Callable[[float], Limits]) -> Floats:
    """The error each difference bears, given its limits `at` any confidence; rounded up to one of `LEVELS`, or to 1."""
    found: Floats | None = None
    held: NDArray[np.bool_] | None = None
    for level in LEVELS:
        limits = at(1.0 - level)
        apart = (limits.low > 0.0) | (limits.high < 0.0)
        held = apart if held is None else held & apart
        found = np.where(held, level, 1.0 if found is None else found)
        if not held.any():
            break
    assert found is not None  # noqa: S101 - there are levels
    return found


def holm(values: Floats) -> Floats:
    """The p-values of all that is judged together, so adjusted that none of them errs with more than the error asked for.

    Source: Holm 1979, which holds however the tests depend on each other.

    >>> holm(np.array([0.01, 0.04, 0.03, 0.005])).round(3).tolist()
    [0.03, 0.06, 0.06, 0.02]
    """
    order = np.argsort(values, kind="stable")
    scaled = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(scaled, 1.0)
    return adjusted
