"""The critical path of calls inside calls, for all traces at once.

At each moment a call waits for those calls it made that run then; the moment belongs to the one of them that ends last, within
it to the calls that it waits for in turn, and to the call itself where it waits for none. So the parts of a trace add up to its
duration, whatever ran beside. Sources: Yang and Miller 1988 (critical path of a parallel execution); Sigelman et al. 2010,
Dapper (calls as a tree); of two calls that overlap the later-ending one takes the overlap.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from meshslo.telemetry.normalize.graph import Flags, Rows

Floats = NDArray[np.float64]

LATE_S: Final = 0.1
"""A call that ends after the one around it was noted late or by a clock ahead, by so much at most; else nobody waited for it.

Hosts that keep time by NTP differ by less.
"""

_ROUNDING_S: Final = 1e-9


@dataclass(frozen=True, eq=False)
class Forest:
    """Calls inside calls: row of the call around (-1: none), begin and end in seconds, whether it was cut, who timed it.

    clock: calls with one number under one parent were timed by one clock.
    """

    parent: Rows
    begin_s: Floats
    end_s: Floats
    cut: Flags
    clock: Rows

    @cached_property
    def depth(self) -> Rows:
        """How many calls are around each."""
        depth = np.zeros(len(self.parent), dtype=np.int64)
        for level, rows in enumerate(self.levels):
            depth[rows] = level
        return depth

    @cached_property
    def levels(self) -> list[Rows]:
        """Rows by depth, those without a parent first; none of a circle."""
        found = [np.flatnonzero(self.parent < 0)]
        reached = self.parent < 0
        left = np.flatnonzero(~reached)
        while len(left):
            now = reached[self.parent[left]]
            if not now.any():
                break
            found.append(left[now])
            reached[left[now]] = True
            left = left[~now]
        return found


@dataclass(frozen=True, eq=False)
class Repair:
    """A forest in which each call lies within its parent, and how that came about, by row.

    outside: it did not as it was timed. repaired: a shift of its clock put it right. unawaited: it outlasted a parent that
    was not cut by more than `LATE_S`: nobody waited for it, and it has no duration left. What is neither is cut to fit.
    """

    forest: Forest
    outside: Flags
    repaired: Flags
    unawaited: Flags


def repair(forest: Forest) -> Repair:
    """Move what one clock timed by the least that puts it within the call around it; cut off what no shift puts there.

    A call that begins before its parent shows a clock that is behind, whatever the distance; one that ends after it is taken
    for noted late, or by a clock ahead, up to `LATE_S`. Durations never change by a shift.
    """
    begin, end = forest.begin_s.copy(), forest.end_s.copy()
    outside, repaired, unawaited = (np.zeros(len(begin), dtype=bool) for _ in range(3))
    for rows, starts in _siblings(forest):
        above = forest.parent[rows]
        later, earlier = begin[above] - begin[rows], end[above] - end[rows]
        outside[rows] = (later > _ROUNDING_S) | (earlier < -_ROUNDING_S)
        least, most = np.maximum.reduceat(later, starts), np.minimum.reduceat(earlier, starts)
        fits = (least <= most + _ROUNDING_S) & (most >= -LATE_S)
        shift = np.where(fits, np.maximum(least, 0.0) + np.minimum(most, 0.0), 0.0)
        sizes = np.diff(np.append(starts, len(rows)))
        moved, fitting = np.repeat(shift, sizes), np.repeat(fits, sizes)
        repaired[rows] = outside[rows] & fitting
        unawaited[rows] = ~fitting & (earlier < -LATE_S) & ~forest.cut[above]
        begin[rows] = np.clip(begin[rows] + moved, begin[above], end[above])
        end[rows] = np.clip(end[rows] + moved, begin[rows], end[above])
        begin[rows] = np.where(unawaited[rows], end[rows], begin[rows])
    return Repair(replace(forest, begin_s=begin, end_s=end), outside, repaired, unawaited)


def _siblings(forest: Forest) -> Iterator[tuple[Rows, Rows]]:
    """Level by level the rows by parent and clock, and where each such group starts."""
    for rows in forest.levels[1:]:
        ordered = rows[np.lexsort((forest.clock[rows], forest.parent[rows]))]
        key = np.stack([forest.parent[ordered], forest.clock[ordered]])
        yield ordered, np.flatnonzero(np.append(True, (key[:, 1:] != key[:, :-1]).any(axis=0)))


@dataclass(frozen=True, eq=False)
class Path:
    """Seconds of each call: on_path_s on its trace's critical path, calls inside included; own_s the part that is its own.

    self_s: how long it ran while no call that it made did, on the path or not. hidden: it was not on the path at all.
    """

    on_path_s: Floats
    own_s: Floats
    self_s: Floats

    @property
    def hidden(self) -> Flags:
        """Calls that nobody waited for: something beside them ended later all along."""
        flags: Flags = self.on_path_s <= 0.0
        return flags


def critical_path(forest: Forest) -> Path:
    """The critical path of every tree of a forest whose calls lie within their parents (see `repair`)."""
    until = _until_another_ends_later(forest)
    levels = forest.levels
    waited = until.copy()
    for rows in levels[1:]:
        waited[rows] = np.minimum(until[rows], waited[forest.parent[rows]])
    on_path = np.maximum(waited - forest.begin_s, 0.0)
    alone = np.maximum(until - forest.begin_s, 0.0)
    return Path(
        on_path_s=on_path,
        own_s=np.maximum(on_path - _below(forest, on_path), 0.0),
        self_s=np.maximum(forest.end_s - forest.begin_s - _below(forest, alone), 0.0),
    )


def _until_another_ends_later(forest: Forest) -> Floats:
    """Until when each call is what its parent waits for: its end, or the begin of a sibling that ends later."""
    made = np.bincount(forest.parent[forest.parent >= 0], minlength=len(forest.parent))
    rows = np.flatnonzero((forest.parent >= 0) & (made[forest.parent] > 1))
    frame = pl.DataFrame({"row": rows, "parent": forest.parent[rows], "begin": forest.begin_s[rows], "end": forest.end_s[rows]})
    # Of two that end at once the one that began first counts as the later one.
    ordered = frame.sort("parent", "end", "begin", "row", descending=[False, True, False, False])
    later = pl.col("begin").cum_min().shift(1).over("parent")
    found = ordered.select("row", pl.min_horizontal("end", later).alias("until"))
    until = forest.end_s.copy()
    until[found["row"].to_numpy()] = found["until"].to_numpy()
    return until


def _below(forest: Forest, seconds: Floats) -> Floats:
    """The sum of `seconds` over the calls that each call made."""
    made = forest.parent >= 0
    return np.bincount(forest.parent[made], weights=seconds[made], minlength=len(seconds)).astype(np.float64)
