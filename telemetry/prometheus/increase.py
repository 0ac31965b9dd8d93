"""From cumulative counts to counts of each step: processes that restart, samples that are missing, series that begin.

A counter's value means only what it grew by. It starts again at 0 with its process; then the new value is the growth. All
series of one histogram restart together, so a fall in one bucket is a restart for all of them. PromQL's `increase` would
extrapolate to the window's ends and answer with fractions of calls; this does not.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Increase:
    """Growth of each series (row) in each step (column).

    restarts: steps in which the process of a row's group restarted. begins: steps in which a row began although it was not
    known to begin at 0, so that what it had counted earlier, `before`, is in no step; 0 where its beginning is known.
    """

    counts: Floats
    restarts: Bools
    begins: Bools
    before: Floats


def increase(values: Floats, group: Ints, target: Ints, known: Bools | None = None) -> Increase:
    """Growth between the columns of `values` (series by time; NaN where a series has no sample).

    group: histogram of each row, ascending. target: scraped process of each row; known: of each target, the steps before whose
    value it had been scraped even though it showed none of these series. A row that appears later than its target began at
    0, since a process shows a series from its first call on. One that appears with its target may have counted before: its
    first value is a baseline, as in PromQL. What grew over missing samples counts in the step in which the series is back.
    """
    seen = ~np.isnan(values)
    now, there = values[:, 1:], seen[:, 1:]
    previous = last_seen(values)[:, :-1]
    grown = now - previous
    restarts = _any_of_group(grown < 0.0, group)
    first = there & np.isnan(previous)
    began_at_zero = first & _target_known(seen, target, known)
    counts = np.where(restarts | began_at_zero, now, np.where(first, 0.0, grown))
    unknown = first & ~began_at_zero
    before = np.where(unknown, now, 0.0).sum(axis=1, where=there)
    return Increase(np.where(there, counts, 0.0), restarts, unknown, before)


def last_seen(values: Floats) -> Floats:
    """The latest value up to each column; NaN before the first."""
    seen = ~np.isnan(values)
    if seen.all():
        return values
    at = np.where(seen, np.arange(values.shape[1]), -1)
    latest = np.maximum.accumulate(at, axis=1)
    return np.where(latest >= 0, np.take_along_axis(values, np.maximum(latest, 0), axis=1), np.nan)


def _any_of_group(true: Bools, group: Ints) -> Bools:
    """Whether `true` holds in any row of each row's group."""
    if not len(group):
        return true
    starts = np.flatnonzero(np.diff(group, prepend=group[0] - 1))
    merged = np.logical_or.reduceat(true, starts, axis=0)
    return np.asarray(merged[np.cumsum(np.diff(group, prepend=group[0]) != 0)], dtype=bool)


def _target_known(seen: Bools, target: Ints, known: Bools | None) -> Bools:
    """Whether each row's target had been scraped before the value of each step."""
    shown = np.zeros((int(target.max(initial=-1)) + 1, seen.shape[1]), dtype=bool)
    np.logical_or.at(shown, target, seen)
    before = np.logical_or.accumulate(shown, axis=1)[:, :-1]
    return np.asarray((before if known is None else before | known)[target], dtype=bool)
