"""Intervals that may be looked at after every call: bets against a difference, and mixtures for quantiles.

A gambler who bets on a difference beyond `d`, and could not gain if it were not there, multiplies his money by 1 / alpha with a
chance of at most alpha, however long he plays (Ville 1939). So at every look what his money speaks against is excluded.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

Floats = NDArray[np.float64]

STAKES: Final = np.geomspace(0.01, 0.99, 10)
"""Shares of what may be staked; the money is split evenly, so that small and large differences both show."""

STEPS: Final = 14
"""Halvings of [-1, 1]: limits are right to 0.00013."""

PRIOR_CALLS: Final = 100.0
"""Weight of the mixture's prior, in calls: the interval of a quantile is narrowest at some hundreds of calls."""


@dataclass(frozen=True)
class Between:
    """An estimate and the limits that hold at every look at once."""

    estimate: float
    low: float
    high: float


def difference(low: Floats, high: Floats, alpha: float) -> Between:
    """The mean difference of a sequence with values in [-1, 1], each between `low` and `high`.

    The limits are right at every look together with 1 - alpha, for a mean difference that is the same all along. They rest on
    all that was seen: where a bad hour of one side speaks against what later calls say, they move, and always hold the mean.
    Nothing seen is (0, -1, 1).
    Source: Waudby-Smith and Ramdas 2024, estimating means of bounded random variables by betting.
    """
    if len(low) == 0:
        return Between(0.0, -1.0, 1.0)
    log_needed = float(np.log(2.0 / alpha))
    lowest = _largest_excluded(low, log_needed)
    highest = -_largest_excluded(-high, log_needed)
    return Between(float((low.mean() + high.mean()) / 2.0), lowest, highest)


def _largest_excluded(values: Floats, log_needed: float) -> float:
    """The largest d for which money staked on a mean above d has grown enough; -1 where there is none."""
    excluded, possible = -1.0, 1.0
    for _ in range(STEPS):
        middle = (excluded + possible) / 2.0
        if log_wealth(values, middle)[-1] >= log_needed:
            excluded = middle
        else:
            possible = middle
    return excluded


def log_wealth(values: Floats, d: float) -> Floats:
    """Logarithm of the money after each value, of one unit staked on a mean above `d` > -1. Values lie in [-1, 1].

    >>> bool(log_wealth(np.full(50, 0.5), 0.0)[-1] > np.log(20)), bool(log_wealth(np.full(50, 0.5), 0.5)[-1] <= 0)
    (True, True)
    """
    # A value of -1 must not take more than there is.
    stakes = STAKES / (1.0 + d)
    each = np.cumsum(np.log1p(np.multiply.outer(stakes, values - d)), axis=1)
    top = each.max(axis=0)
    money: Floats = top + np.log(np.mean(np.exp(each - top), axis=0))
    return money


def quantile_ranks(calls: int, q: float, alpha: float) -> tuple[int, int]:
    """Ranks between which the `q` quantile of so many durations lies at every look with 1 - alpha; 0 and calls + 1 are open.

    At the true quantile the number of shorter calls is binomial; the mixture of its likelihoods over a beta prior exceeds
    1 / alpha with a chance of at most alpha ever. Source: Robbins 1970; Howard and Ramdas 2022, for quantiles.

    >>> quantile_ranks(1000, 0.5, 0.05)
    (453, 548)
    """
    shorter = np.arange(calls + 1, dtype=np.float64)
    a, b = PRIOR_CALLS * q, PRIOR_CALLS * (1.0 - q)
    mixture = betaln(a + shorter, b + calls - shorter) - betaln(a, b)
    evidence = mixture - shorter * np.log(q) - (calls - shorter) * np.log1p(-q)
    possible = np.flatnonzero(evidence < np.log(1.0 / alpha))
    return int(possible[0]), int(possible[-1]) + 1
