"""Over 400 simulated samples a 95 % interval holds the truth in 93 to 97 %, bursts in it or not.

What has its own such test elsewhere: order statistics (test_quantile), survival with cuts (test_survival), the line through
totals (tokens/test_fit), comparisons of A with A (comparison/test_compare).
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from meshslo.analysis.bursts import Spread, largest_effects
from meshslo.analysis.interval import wilson
from meshslo.analysis.paths.shares import Spent, slow_shares
from meshslo.analysis.survival import LifeTable
from tests.support.samples import Floats, held, life_tables_of

pytestmark = [pytest.mark.slow, pytest.mark.no_cover]

SAMPLES = 400
MINUTES, EACH = 60, 20


def bursty(seed: int, samples: int, minutes: int, spread: float) -> Floats:
    """Durations of samples of minutes that are slow or fast as a whole, `EACH` of a minute one after the other.

    They differ so much that an interval is many buckets wide: their edges add to it, too.
    """
    rng = np.random.default_rng(seed)
    pace = np.exp(rng.normal(0.3, spread, (samples, minutes)))
    return np.repeat(pace, EACH, axis=1) * rng.lognormal(0.0, 1.2, (samples, minutes * EACH))


def effects(seconds: Floats, q: float) -> Floats:
    """By what the calls of each sample count for fewer, as recommendations and comparisons take it."""
    long = (seconds > np.quantile(seconds, q, axis=1)[:, None]).reshape(SAMPLES, MINUTES, EACH).sum(axis=2)
    sample, minute = np.indices(long.shape)
    spread = Spread(sample.ravel(), minute.ravel(), np.full(long.size, float(EACH)), long.ravel().astype(float))
    return largest_effects(spread, SAMPLES)


@pytest.mark.parametrize("q", [0.5, 0.95])
@pytest.mark.parametrize("spread", [0.0, 0.4, 1.0])
def test_bursts_are_in_the_interval(spread: float, q: float) -> None:
    truth = math.exp(0.3 + math.hypot(spread, 1.2) * float(norm.ppf(q)))
    seconds = bursty(1, SAMPLES, MINUTES, spread)
    plain = life_tables_of(seconds)
    careful = replace(plain, weight_sq=plain.weight_sq * effects(seconds, q))
    assert 0.93 <= np.mean(held(careful.quantiles(q, 0.95), truth)) <= 0.97
    if spread > 0.5:
        # Taken for independent, calls of slow minutes promise what they cannot keep.
        assert np.mean(held(plain.quantiles(q, 0.95), truth)) < 0.75


def traces(rng: np.random.Generator, minutes: int, spread: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Total and own seconds of three hops of traces, the second hop slow or fast by the minute; and their minutes."""
    minute = np.repeat(np.arange(minutes), 20)
    n = len(minute)
    pace = np.exp(rng.normal(0.0, spread, minutes))[minute]
    own = np.stack([rng.lognormal(-1.5, 0.3, n), pace * rng.lognormal(0.0, 0.7, n), rng.lognormal(-0.5, 0.5, n)], axis=1)
    return own.sum(axis=1), own, minute


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_shares_of_slow_traces_are_held(spread: float) -> None:
    total, own, _ = traces(np.random.default_rng(0), 20_000, spread)
    slow = total >= np.quantile(total, 0.95)
    truth = own[slow].sum(axis=0) / own[slow].sum()
    inside = np.zeros(3)
    for seed in range(1, SAMPLES + 1):
        total, own, minute = traces(np.random.default_rng(seed), MINUTES, spread)
        found = slow_shares(Spent(total, own, np.ones(len(total)), minute), 0.95, np.random.default_rng(seed))
        inside += (found.low <= truth) & (truth <= found.high)
    assert (inside / SAMPLES >= 0.93).all()
    assert (inside / SAMPLES <= 0.97).all()


@pytest.mark.parametrize(("share", "calls"), [(0.5, 50), (0.95, 200), (0.995, 2000), (0.99, 200)])
def test_a_share_is_held(share: float, calls: int) -> None:
    hits = np.random.default_rng(5).binomial(calls, share, SAMPLES)
    inside = [wilson(hit, calls).low <= share <= wilson(hit, calls).high for hit in hits]
    assert 0.93 <= np.mean(inside) <= 0.97


@pytest.mark.parametrize("leave_s", [5.0, 1e9])
def test_the_share_that_still_runs_is_held(leave_s: float) -> None:
    """With cuts by the band; where none was cut the limits are exact, of which discreteness makes 97 % and more."""
    rng, truth = np.random.default_rng(7), 0.05
    at_s = math.exp(0.3 + 0.9 * float(norm.ppf(1.0 - truth)))
    inside = []
    for _ in range(SAMPLES):
        whole, patience = rng.lognormal(0.3, 0.9, 1000), rng.exponential(leave_s, 1000)
        found = LifeTable.from_durations(np.minimum(whole, patience), whole <= patience).exceedance(at_s)
        inside.append(found.low <= truth <= found.high)
    assert 0.93 <= np.mean(inside) <= (0.97 if leave_s < 1e9 else 0.985)
