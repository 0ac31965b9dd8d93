"""The survival curves of many groups at once, in flat arrays: one pass answers a report of ten thousand groups.

Rows are (group, bucket) in order; a group's rows are `offsets[g]` to `offsets[g + 1]`. Within a bucket events come before
censorings. Sources: Kaplan and Meier 1958; Greenwood 1926.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import histogram

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUNDING = 1e-9
"""A survival share that ought to equal 1 - q comes out of a sum of logarithms: it may be off by this ratio."""


@dataclass(frozen=True, eq=False)
class Curves:
    """Events and censorings of each group in each of its buckets, as sums of weights (counts where nothing was sampled).

    index: bucket of each row, ascending within a group; no row is empty. event_counts, censored_counts: the same, unweighted.
    weight_sq: sum of the squared weights of each group's calls. longest_s: the longest duration of each group, exact.
    """

    offsets: Ints
    index: Ints
    events: Floats
    censored: Floats
    event_counts: Ints
    censored_counts: Ints
    weight_sq: Floats
    longest_s: Floats
    scale: int = histogram.SCALE
    low_s: Floats | None = None
    high_s: Floats | None = None
    """Edges of rows whose bucket is a metric's and not ours, NaN for ours; None where all are ours."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> Ints:
        """The number of rows of each group."""
        return np.diff(self.offsets)

    @cached_property
    def at_risk(self) -> Floats:
        """Weight of the calls of the row's group that lasted into its bucket."""
        left: Floats = self.spread(self._through[self.offsets[1:]])
        left -= self._through[:-1]
        return left

    @cached_property
    def _through(self) -> Floats:
        """Weight of all calls before each row, of groups before it too, and of all."""
        return np.concatenate([[0.0], np.cumsum(self.events + self.censored)])

    @cached_property
    def _ends(self) -> Ints:
        """Rows after which nobody is left: the last of a group, without a censoring in it."""
        last = self.offsets[1:][self.lengths > 0] - 1
        ends: Ints = last[self.censored[last] == 0.0]
        return ends

    @cached_property
    def log_survival(self) -> Floats:
        """Natural logarithm of the share of calls still running after each row's bucket."""
        left = self.events / self.at_risk
        left[self._ends] = 0.0
        survival = self._running(np.log1p(-left))
        survival[self._ends] = -np.inf
        return survival

    @cached_property
    def greenwood(self) -> Floats:
        """Greenwood's sum of d / (n (n - d)) after each row, in effective calls."""
        after = self.at_risk - self.events
        after[self._ends] = np.inf
        return self._running(self.events / (self.at_risk * after)) / self.spread(self.per_weight)

    @cached_property
    def calls(self) -> Ints:
        """Number of calls of each group, events and censored."""
        through = np.concatenate([[0], np.cumsum(self.event_counts + self.censored_counts)])
        return np.diff(through[self.offsets])

    @cached_property
    def effective(self) -> Floats:
        """Calls of each group that an unweighted sample of the same precision has: (sum w) ** 2 / sum w ** 2 (Kish 1965)."""
        calls = np.divide(self.weight**2, self.weight_sq, out=np.zeros(len(self)), where=self.weight_sq > 0)
        # 299 calls that weigh 10/3 each are 299, as ranks count, and not 298.
        whole = np.rint(calls)
        return np.where(np.abs(calls - whole) <= ROUNDING * whole, whole, calls)

    @cached_property
    def weight(self) -> Floats:
        """Sum of the weights of each group."""
        return np.diff(self._through[self.offsets])

    @cached_property
    def per_weight(self) -> Floats:
        """Effective calls for each unit of weight, by group."""
        return np.divide(self.effective, self.weight, out=np.ones(len(self)), where=self.weight > 0)

    @cached_property
    def is_cut(self) -> NDArray[np.bool_]:
        """Groups with a censored call."""
        return self.first_row(self.censored > 0.0) >= 0

    @cached_property
    def cumulative_events(self) -> Floats:
        """Weight of all events before each row, of groups before it too, and of all."""
        return np.concatenate([[0.0], np.cumsum(self.events)])

    def row_at(self, share: Floats, through: Floats) -> Ints:
        """The first row of each group by which `share` of the group's part of the cumulative sum is reached; -1 for none."""
        base, end = through[self.offsets[:-1]], through[self.offsets[1:]]
        row = np.searchsorted(through[1:], base + share * (end - base) * (1.0 - ROUNDING), side="left")
        # A share that rounds to the very end of the sum must stay in its group.
        return np.where(end > base, np.clip(row, self.offsets[:-1], self.offsets[1:] - 1), -1).astype(np.int64)

    def first_row(self, true: NDArray[np.bool_]) -> Ints:
        """The first row of each group where `true` holds; -1 where it never does."""
        hits = np.append(np.flatnonzero(true), len(self.index))
        first = hits[np.searchsorted(hits[:-1], self.offsets[:-1])]
        return np.where(first < self.offsets[1:], first, -1).astype(np.int64)

    @cached_property
    def low(self) -> Floats:
        """Lower edge of each row's bucket, in seconds."""
        return self.low_of(np.arange(len(self.index)))

    @cached_property
    def high(self) -> Floats:
        """Upper edge of each row's bucket, in seconds."""
        return self.high_of(np.arange(len(self.index)))

    def low_of(self, row: Ints) -> Floats:
        """Lower edge of the bucket of some rows, in seconds; NaN for row -1."""
        return self._edge(histogram.lower_edge, row, self.low_s)

    def high_of(self, row: Ints) -> Floats:
        """Upper edge of the bucket of some rows, in seconds; NaN for row -1."""
        return self._edge(histogram.upper_edge, row, self.high_s)

    def middle_of(self, row: Ints) -> Floats:
        """What the bucket says about its calls, in seconds; a metric's wide one no more than its lower edge; NaN for row -1."""
        return self._edge(histogram.midpoint, row, self.low_s)

    def _edge(self, ours: Callable[[Ints, int], Floats], row: Ints, theirs: Floats | None) -> Floats:
        """Seconds of each of some rows, NaN for row -1."""
        edge = np.where(row >= 0, ours(at(self.index, row, 0), self.scale), np.nan)
        return edge if theirs is None else np.where(np.isnan(given := at(theirs, row, np.nan)), edge, given)

    def spread(self, values: Floats) -> Floats:
        """For each row the value of its group."""
        return np.repeat(values, self.lengths)

    def _running(self, terms: Floats) -> Floats:
        """Cumulative sum of `terms` within each group."""
        through = np.cumsum(terms)
        through -= self.spread(at(through, self.offsets[:-1] - 1, 0.0))
        return through


def at(values: NDArray[Any], row: Ints, none: float) -> NDArray[Any]:
    """The value of each of some rows, `none` of row -1."""
    return np.where(row >= 0, values[row], none) if len(values) else np.full(len(row), none, values.dtype)
