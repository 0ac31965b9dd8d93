"""Over 400 simulated samples a 95 % interval holds the truth about as often as it says, bursts in it or not.

What has its own such test elsewhere: order statistics (test_quantile), survival with cuts (test_survival), the line through
totals (tokens/test_fit), comparisons of A with A (comparison/test_compare).
"""

from dataclasses import replace

import numpy as np
import pytest

from meshslo.analysis.bursts import Minutes, largest_effect
from meshslo.analysis.interval import wilson
from meshslo.analysis.paths.shares import Spent, slow_shares
from meshslo.analysis.survival import LifeTable

pytestmark = [pytest.mark.slow, pytest.mark.no_cover]

SAMPLES = 400
MINUTES, EACH = 60, 50


def bursty(rng: np.random.Generator, minutes: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Durations of minutes that are slow or fast as a whole, and the minute of each."""
    minute = np.repeat(np.arange(minutes), EACH)
    return np.exp(rng.normal(0.0, spread, minutes))[minute] * rng.lognormal(0.0, 0.6, len(minute)), minute


def careful(seconds: np.ndarray, minute: np.ndarray, q: float) -> LifeTable:
    """The table with its calls counting for fewer, as recommendations and comparisons take it."""
    table = LifeTable.from_durations(seconds)
    long = np.bincount(minute, weights=seconds > np.quantile(seconds, q))
    effect = largest_effect(Minutes(np.bincount(minute) * 1.0, long, np.arange(minute.max() + 1)), sure=None)
    return LifeTable(replace(table.tables, weight_sq=table.tables.weight_sq * effect))


@pytest.mark.parametrize("q", [0.5, 0.95])
@pytest.mark.parametrize("spread", [0.0, 0.2, 0.35])
def test_bursts_are_in_the_interval(spread: float, q: float) -> None:
    truth = np.quantile(bursty(np.random.default_rng(0), 100_000, spread)[0], q)
    held, blind = 0, 0
    for seed in range(1, SAMPLES + 1):
        seconds, minute = bursty(np.random.default_rng(seed), MINUTES, spread)
        found, plain = careful(seconds, minute, q).quantile(q), LifeTable.from_durations(seconds).quantile(q)
        held += found.low_s <= truth <= (found.high_s or np.inf)
        blind += plain.low_s <= truth <= (plain.high_s or np.inf)
    assert 0.925 <= held / SAMPLES <= 0.99
    if spread > 0.3:
        # Taken for independent, calls of slow minutes promise what they cannot keep.
        assert blind / SAMPLES < 0.75


def traces(rng: np.random.Generator, minutes: int, spread: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Total and own seconds of three hops of traces, the second hop slow or fast by the minute; and their minutes."""
    minute = np.repeat(np.arange(minutes), EACH)
    n = len(minute)
    pace = np.exp(rng.normal(0.0, spread, minutes))[minute]
    own = np.stack([rng.lognormal(-1.5, 0.3, n), pace * rng.lognormal(0.0, 0.7, n), rng.lognormal(-0.5, 0.5, n)], axis=1)
    return own.sum(axis=1), own, minute


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_shares_of_slow_traces_are_held(spread: float) -> None:
    total, own, _ = traces(np.random.default_rng(0), 20_000, spread)
    slow = total >= np.quantile(total, 0.95)
    truth = own[slow].sum(axis=0) / own[slow].sum()
    held = np.zeros(3)
    for seed in range(1, SAMPLES + 1):
        total, own, minute = traces(np.random.default_rng(seed), MINUTES, spread)
        found = slow_shares(Spent(total, own, np.ones(len(total)), minute), 0.95, np.random.default_rng(seed))
        held += (found.low <= truth) & (truth <= found.high)
    # Resampling sixty blocks is a little narrow, as bootstraps of few blocks are.
    assert (held / SAMPLES >= 0.90).all()
    assert (held / SAMPLES <= 0.98).all()


@pytest.mark.parametrize(("share", "calls"), [(0.5, 50), (0.95, 200), (0.995, 2000)])
def test_a_share_is_held(share: float, calls: int) -> None:
    hits = np.random.default_rng(5).binomial(calls, share, SAMPLES)
    held = [wilson(hit, calls).low <= share <= wilson(hit, calls).high for hit in hits]
    assert 0.93 <= np.mean(held) <= 0.985
