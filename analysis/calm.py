"""Calm stretches of time: those in which no more calls failed than usual."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .interval import proportion

SURE: Final = 0.998
"""Confidence, two-sided, with which a stretch must be worse than calm ones to be left out: one in a thousand by chance."""

CALM_FACTOR: Final = 2.0
CALM_FLOOR: Final = 0.01
"""A stretch is calm unless its failures surely exceed twice the usual share, and 1 %."""


def calm_stretches(failed: NDArray[np.int64], asked: NDArray[np.int64], usual_at: float = 0.5) -> NDArray[np.bool_]:
    """Which stretches of time, given their failures and calls, are no outage; those without calls are none either.

    usual_at: the quantile of the stretches' shares that is usual, which outages must leave alone: the median by default.

    >>> calm_stretches(np.array([0, 1, 60, 0]), np.array([100, 90, 95, 0])).tolist()
    [True, True, False, False]
    """
    seen = asked > 0
    shares = np.divide(failed, asked, out=np.zeros(len(asked)), where=seen)
    usual = float(np.quantile(shares[seen], usual_at)) if seen.any() else 0.0
    low, _ = proportion(np.minimum(failed, asked), np.maximum(asked, 1), SURE)
    return np.asarray(seen & (low <= max(CALM_FACTOR * usual, CALM_FLOOR)))
