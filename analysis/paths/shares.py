"""What the slow traces spend their time on: each hop's share of it, with an interval from resampled minutes."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meshslo.analysis import histogram
from meshslo.analysis.resampling import limits, resample

from .critical import Floats

FEWEST_SLOW: Final = 10
"""Fewer slow traces than this do not show where slow traces spend their time."""

_AT_ONCE: Final = 500_000
"""Cells of all resamples together that are worked out at once, so that they stay within some megabytes."""

TIMES: Final = 300
"""Resamples behind an interval."""

_WITHIN: Final = 4.0
"""A resample's slow traces are looked for among so many times as many."""


@dataclass(frozen=True, eq=False)
class Shares:
    """Of the traces at and beyond a quantile, the share of time that each hop takes; estimate, low, high: one a hop.

    traces: how many slow traces there are; needs_traces: how many more traces it takes until there are `FEWEST_SLOW`, 0 where
    there are; then the shares are NaN.
    """

    traces: int
    needs_traces: int
    estimate: Floats
    low: Floats
    high: Floats


class Spent(NamedTuple):
    """Seconds of each trace: in all, and a column for each hop's own, which add up to that; weight and time block of each."""

    total_s: Floats
    own_s: Floats
    weight: Floats
    block: NDArray[np.int64]


def slow_shares(spent: Spent, q: float, rng: np.random.Generator, confidence: float = 0.95) -> Shares:
    """Each hop's share of the time of the slowest 1 - `q` of the traces.

    Whole blocks are resampled with `rng`, and in every resample the slow traces are chosen anew.
    """
    slow = int(np.floor((1.0 - q) * len(spent.total_s) + 1e-9))
    nothing = np.full(spent.own_s.shape[1], np.nan)
    if slow < FEWEST_SLOW:
        missing = int(np.ceil((FEWEST_SLOW - 1e-9) / (1.0 - q))) - len(spent.total_s)
        return Shares(slow, max(missing, 1), nothing, nothing, nothing)
    cells = _cells(spent, int(slow * _WITHIN))
    total = np.bincount(spent.block, weights=spent.weight)

    def of(times: Floats) -> Floats:
        """The shares, in each row of them, where each block is taken so many times."""
        each = times[:, cells.block]
        taken = each * cells.weight
        left = (1.0 - q) * (times @ total)[:, None] - (np.cumsum(taken, axis=1) - taken)
        taking: Floats = (each * np.clip(left / np.maximum(taken, 1e-300), 0.0, 1.0)) @ cells.own_s
        shares: Floats = taking / np.maximum(taking.sum(axis=1, keepdims=True), 1e-300)
        return shares

    times = np.array([np.ones(len(total)), *resample(len(total), TIMES, rng)])
    parts = np.array_split(times, 1 + times.shape[0] * len(cells.block) // _AT_ONCE)
    estimate, *drawn = np.concatenate([of(part) for part in parts])
    low, high = limits(np.array(drawn), len(total), confidence)
    return Shares(slow, 0, estimate, low, high)


class _Cells(NamedTuple):
    """Traces of one block that last about as long, the longest first: their number, weight, and weighted own seconds."""

    block: NDArray[np.int64]
    weight: Floats
    own_s: Floats


def _cells(spent: Spent, most: int) -> _Cells:
    """At least the `most` slowest traces in cells, which are far fewer."""
    bucket = -histogram.index_of(spent.total_s)
    slowest = np.flatnonzero(bucket <= np.sort(bucket)[: most + 1][-1])
    blocks = int(spent.block.max()) + 1
    key, cell = np.unique((bucket[slowest] - bucket.min()) * blocks + spent.block[slowest], return_inverse=True)

    def add(values: Floats) -> Floats:
        return np.bincount(cell, weights=values * spent.weight[slowest], minlength=len(key)).astype(np.float64)

    own = np.stack([add(spent.own_s[slowest, hop]) for hop in range(spent.own_s.shape[1])], axis=1)
    return _Cells(key % blocks, add(np.ones(len(slowest))), own)
