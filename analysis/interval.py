"""Confidence limits: order statistics, proportions, the log-log band of a survival curve. Vectorised; no histogram in here."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, bdtrc, bdtrik, betaincinv, ndtri

from .quantile import Interval

Floats = NDArray[np.float64]

FEW: Final = 5
"""Of fewer hits, or misses, the score interval's end there lies too near to the share that was seen."""


class Ranks(NamedTuple):
    """Ranks (1 is the smallest) of the order statistics that bound a quantile; low 0 and high n + 1 mean an open end."""

    low: Floats
    high: Floats
    upper: Floats


def order_ranks(n: ArrayLike, q: float, confidence: float = 0.95) -> Ranks:
    """Ranks between which the `q` quantile of `n` independent durations lies with `confidence`; `upper` is one-sided.

    The upper end errs in at most half of what may, where such a rank exists; else (q = 0.99: 299 <= n < 368) it is the largest
    duration. Ranks are whole, so that it errs less: what it leaves of the error the lower end takes, and what that leaves the
    upper again. `confidence` together is kept whatever the distribution, and hardly exceeded: 0.95 is 0.975 at most from 10
    calls beyond the quantile on, 0.963 from 30 and 0.958 from 100 on (with equal tails 0.985, 0.975 and 0.965).
    Source: Hahn and Meeker, Statistical Intervals, distribution-free intervals.

    >>> ranks = order_ranks([1000, 10_000], 0.99)
    >>> ranks.low.tolist(), ranks.high.tolist()
    ([984.0, 9881.0], [997.0, 9920.0])
    """
    # Groups are of few sizes, and each size costs three inversions.
    n, size = np.unique(np.asarray(n, dtype=np.float64), return_inverse=True)
    error = 1.0 - confidence
    high = binomial_quantile(1.0 - error / 2.0, n, q) + 1.0
    high = np.where((high > n) & (np.power(q, n) <= error), n, np.minimum(high, n + 1.0))
    low = np.maximum(binomial_quantile(error - _reached(high, n, q), n, q), 0.0)
    missed = np.where(low > 0.0, 1.0 - _reached(low, n, q), 0.0)
    # It goes down by a rank or two, which costs less to try than another inversion.
    while (lower := _reached(high - 1.0, n, q) <= error - missed).any():
        high = high - lower
    upper = binomial_quantile(confidence, n, q) + 1.0
    return Ranks(low=low[size], high=high[size], upper=upper[size])


def _reached(rank: Floats, n: Floats, p: float) -> Floats:
    """The probability that `rank` or more of `n` durations are within the `p` quantile."""
    reached: Floats = bdtrc(rank - 1.0, n.astype(np.int64), p)
    return np.where(rank > n, 0.0, reached)


def binomial_quantile(share: ArrayLike, n: ArrayLike, p: float) -> Floats:
    """The least number of hits of `n` whole calls, each with probability `p`, that is not exceeded with probability `share`.

    What `scipy.stats.binom.ppf` gives, without the cost of its argument checks: a recommendation asks thousands of times.

    >>> binomial_quantile(0.95, [100, 1000], 0.99).tolist()
    [100.0, 995.0]
    """
    share, n = np.asarray(share, dtype=np.float64), np.asarray(n, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        found = np.where(n > 0, np.ceil(bdtrik(share, n, p)), 0.0)
        before = np.maximum(found - 1.0, 0.0)
        # The inverse is exact to rounding only: the number before may do already.
        least: Floats = np.where(bdtr(before, n.astype(np.int64), p) >= share, before, found)
    return least


def proportion(hits: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Exact limits of a share: `hits` of `n` (both may be effective numbers, not whole).

    Source: Clopper and Pearson 1934.
    """
    hits, n = np.asarray(hits, dtype=np.float64), np.asarray(n, dtype=np.float64)
    tail = (1.0 - confidence) / 2.0
    with np.errstate(invalid="ignore"):
        low = np.where(hits <= 0.0, 0.0, betaincinv(hits, n - hits + 1.0, tail))
        high = np.where(hits >= n, 1.0, betaincinv(hits + 1.0, n - hits, 1.0 - tail))
    return low, high


def goes_on(calls: Floats, confidence: float) -> Floats:
    """The share that at least goes on where none of so many calls was seen to end; source: the rule of three, exactly.

    >>> goes_on(np.array([0.0, 299.0]), 0.95).round(3).tolist()
    [0.0, 0.99]
    """
    return np.where(calls > 0.0, np.power(1.0 - confidence, 1.0 / np.maximum(calls, 1e-300)), 0.0)


def wilson(hits: float, n: float, confidence: float = 0.95) -> Interval:
    """A share with its score interval, mended near 0 and 1.

    What happened a few times may be rarer than the score's lower limit says: alone, that of 95 % holds a share of which 0.18 of
    `n` are to be expected in 84 % of samples. So of fewer than `FEW` hits it is no higher than the exact one-sided limit, and
    likewise the upper one of few misses. Then it holds any share in 93 % of samples of 50 or more (92 % of fewer), in 95 % on
    average. Sources: Wilson 1927; Brown, Cai and DasGupta 2001 (modified Wilson interval).

    >>> shares = wilson(0, 100)
    >>> shares.estimate, shares.low, round(shares.high, 4)
    (0.0, 0.0, 0.037)
    """
    if n <= 0:
        return Interval(float("nan"), 0.0, 1.0)
    z = float(ndtri(0.5 + confidence / 2.0))
    share, z2 = hits / n, z * z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * float(np.sqrt(share * (1 - share) / n + z2 / (4 * n * n)))
    low, high = centre - half, centre + half
    if min(hits, n - hits) < FEW:
        # Each of them errs in 1 - confidence.
        exact_low, exact_high = proportion(hits, n, 2.0 * confidence - 1.0)
        low = min(low, float(exact_low)) if hits < FEW else low
        high = max(high, float(exact_high)) if n - hits < FEW else high
    return Interval(share, max(low, 0.0), min(high, 1.0))


def log_log_band(log_survival: Floats, greenwood: Floats, z: float) -> tuple[Floats, Floats]:
    """Limits of a survival curve given ln S and the sum of d / (n (n - d)): exp(-exp(ln(-ln S) -+ z se)).

    S = 1 has the limits (1, 1) and S = 0 the limits (0, 0): the formula says nothing there, the caller does.
    Source: Kalbfleisch and Prentice 1980; variance by Greenwood 1926.
    """
    inside = (log_survival < 0.0) & np.isfinite(log_survival)
    safe = np.where(inside, -log_survival, 1.0)
    spread = np.exp(z * np.sqrt(np.where(inside, greenwood, 0.0)) / safe)
    flat = np.where(log_survival < 0.0, 0.0, 1.0)
    low = np.where(inside, np.exp(-safe * spread), flat)
    high = np.where(inside, np.exp(-safe / spread), flat)
    return low, high
