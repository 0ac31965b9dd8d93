"""How long calls last when some were cut: the life table of one group and phase.

A call that a timer cut, or whose caller left, is censored: its true duration is known only to be longer than what was seen.
Dropping such calls, or counting them as finished, makes every quantile too short.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtri

from . import histogram
from .interval import log_log_band, proportion
from .lifetables import LifeTables
from .phases import measured
from .quantile import Interval, Quantile, check_share
from .tables import build, one

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LifeTable:
    """The life table of one group and phase: that at `place` of `many`, whose quantiles are worked out all at once."""

    many: LifeTables
    place: int = 0

    @cached_property
    def tables(self) -> LifeTables:
        """It alone."""
        return self.many if len(self.many) == 1 else one(self.many, self.place)

    @classmethod
    def from_cells(cls, cells: pl.DataFrame, *, scale: int = histogram.SCALE, longest_s: float | None = None) -> "LifeTable":
        """The table of the cells of a rollup, all of them one phase; cells that are neither event nor censored stay out.

        longest_s: the longest duration, where the rollup's totals told it. Where calls ended well and not one of them shows
        the phase, it is not measured there: the table is empty.
        """
        if cells["phase"].n_unique() > 1:
            raise ValueError(f"cells of several phases: {', '.join(cells['phase'].unique())}; filter one")
        alone = measured(cells, []).with_columns(pl.lit(0).alias("group"))
        return cls(build(alone, np.array([math.nan if longest_s is None else longest_s]), scale))

    @classmethod
    def from_durations(
        cls,
        durations_s: Sequence[float] | Floats,
        finished: Sequence[bool] | NDArray[np.bool_] | None = None,
        weights: Sequence[float] | Floats | None = None,
        *,
        scale: int = histogram.SCALE,
    ) -> "LifeTable":
        """The table of raw durations in seconds; `finished` is False for a call that was cut (None: none was)."""
        seconds = np.asarray(durations_s, dtype=np.float64)
        done = np.ones(len(seconds), dtype=bool) if finished is None else np.asarray(finished, dtype=bool)
        weight = np.ones(len(seconds)) if weights is None else np.asarray(weights, dtype=np.float64)
        index, place = np.unique(histogram.index_of(seconds, scale), return_inverse=True)

        def add(values: Floats) -> Floats:
            return np.bincount(place, weights=values, minlength=len(index)).astype(np.float64)

        return cls(
            LifeTables(
                offsets=np.array([0, len(index)]),
                index=index,
                events=add(weight * done),
                censored=add(weight * ~done),
                event_counts=add(done * 1.0).astype(np.int64),
                censored_counts=add(~done * 1.0).astype(np.int64),
                weight_sq=np.array([(weight**2).sum()]),
                longest_s=np.array([seconds.max(initial=0.0)]),
                scale=scale,
            )
        )

    def finished(self) -> "LifeTable":
        """The same with cut calls left out: what a tool that knows only completed calls would take for all of them."""
        whole, some = self.tables, self.tables.event_counts > 0
        weights = whole.events[some]
        # What is left weighs as evenly as the whole did.
        weight_sq = whole.weight_sq * (weights.sum() / max(float(whole.weight[0]), 1e-300))
        index = whole.index[some]
        return LifeTable(
            replace(
                whole,
                offsets=np.array([0, len(index)]),
                index=index,
                events=weights,
                censored=np.zeros(len(index)),
                event_counts=whole.event_counts[some],
                censored_counts=np.zeros(len(index), np.int64),
                weight_sq=weight_sq,
                longest_s=np.array([whole.high[some].max(initial=0.0)]),
                low_s=None if whole.low_s is None else whole.low_s[some],
                high_s=None if whole.high_s is None else whole.high_s[some],
            )
        )

    @property
    def index(self) -> Ints:
        """The buckets that calls are in, ascending."""
        return self.tables.index

    @property
    def scale(self) -> int:
        """The scale of the buckets."""
        return self.tables.scale

    @property
    def events(self) -> int:
        """Calls seen to their end."""
        return int(self.tables.event_counts.sum())

    @property
    def censored(self) -> int:
        """Calls that were cut."""
        return int(self.tables.censored_counts.sum())

    def cut_from(self, t_s: float) -> int:
        """Calls that were cut after `t_s` seconds or later, those in its bucket among them."""
        return int(self.tables.censored_counts[self.tables.high >= t_s].sum())

    @property
    def calls(self) -> int:
        """Calls in the estimate: events and censored."""
        return int(self.many.calls[self.place])

    @property
    def effective_calls(self) -> float:
        """Calls that an unweighted sample of the same precision has; the number of calls where weights are equal."""
        return float(self.many.effective[self.place])

    @property
    def longest_s(self) -> float:
        """The longest duration seen, in seconds: exact where it was known, else the edge of its bucket."""
        return float(self.many.longest_s[self.place])

    def quantile(self, q: float, confidence: float = 0.95) -> Quantile:
        """The duration within which a share `q` of calls end: Kaplan-Meier, with interval; see `Quantile` for its answers."""
        return self.many.quantiles(q, confidence).of(self.place, q)

    def exceedance(self, t_s: float, confidence: float = 0.95) -> Interval:
        """Share of calls that are still running after `t_s` seconds.

        NaN within (0, 1) where there are no calls. Within a bucket the estimate runs from the curve before to the curve after
        it, and the limits take both. Without a call cut before `t_s` the limits are exact (Clopper-Pearson), else those of
        the log-log band; past the last event of a curve that ends above 0 the lower limit falls with the number of calls
        followed that far.
        """
        check_share("confidence", confidence)
        if not self.calls:
            return Interval(math.nan, 0.0, 1.0)
        at = int(histogram.index_of([t_s], self.scale)[0])
        before, after, inside = self._around(t_s, at)
        share = [1.0 if row < 0 else math.exp(self.tables.log_survival[row]) for row in (before, after)]
        estimate = share[0] + min(max(inside, 0.0), 1.0) * (share[1] - share[0])
        return Interval(
            estimate, self._limits(after, confidence)[0] * self._followed(at, confidence), self._limits(before, confidence)[1]
        )

    def _around(self, t_s: float, at: int) -> tuple[int, int, float]:
        """The last row before the bucket `at` of `t_s`, the last in it, and how far it has come in there."""
        before, after = (int(row) - 1 for row in np.searchsorted(self.index, [at, at + 1]))
        if self.tables.low_s is None:
            return before, after, (t_s / float(histogram.lower_edge(at, self.scale)) - 1.0) / (2.0**2.0**-self.scale - 1.0)
        low, high = self.tables.low, self.tables.high
        before, after = (int(np.flatnonzero(rows)[-1]) if rows.any() else -1 for rows in (high <= t_s, low < t_s))
        return before, after, 0.0 if after < 0 else (t_s - low[after]) / max(high[after] - low[after], 1e-12)

    def _limits(self, row: int, confidence: float) -> tuple[float, float]:
        """Limits of the curve just after `row`; -1 is before the first."""
        if row < 0:
            return 1.0, 1.0
        log_share = self.tables.log_survival[row]
        if not self.tables.censored[:row].any():
            low, high = proportion(self.effective_calls * math.exp(log_share), self.effective_calls, confidence)
        elif log_share == 0.0 or math.isinf(log_share):
            low, high = proportion(self._still_counted(row) * math.exp(log_share), self._still_counted(row), confidence)
            # The curve never rises: what bounds it earlier bounds it here, where a call or two say hardly anything.
            high = np.minimum(high, self._limits(row - 1, confidence)[1])
        else:
            z = float(ndtri(0.5 + confidence / 2.0))
            low, high = log_log_band(self.tables.log_survival[row : row + 1], self.tables.greenwood[row : row + 1], z)
        return float(np.ravel(low)[0]), float(np.ravel(high)[0])

    def _still_counted(self, row: int) -> float:
        """Effective calls behind the curve where its variance says nothing (at 1, and at 0): those that lasted into `row`.

        Fewer than the curve's whole history has, so the limits err to the wide side.
        """
        return float(self.tables.at_risk[row] * self.tables.per_weight[0])

    def _followed(self, at: int, confidence: float) -> float:
        """By what the lower limit falls at bucket `at` since calls are lost from sight after the last event: 1 before it.

        Of n calls followed that far none was seen to end: at least error ** (1 / n) of them go on, with confidence.
        """
        happened = np.flatnonzero(self.tables.event_counts)
        last = self.index[happened[-1]] if len(happened) else -(2**31)
        if at <= last or not self.calls:
            return 1.0
        row = int(np.searchsorted(self.index, at))
        if row == len(self.index):
            return 0.0
        return float((1.0 - confidence) ** (1.0 / self._still_counted(row)))
