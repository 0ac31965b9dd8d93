"""Calls that attempts make: what they were, what they become, and what that does to the attempt that made them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from .engine import Plan
from .kinds import Flags, Floats, Ints, Kind, Small
from .replay import Replay

BROKEN_OFF: Final = (Kind.CUT, Kind.LEFT, Kind.BROKEN)
"""Ends of an attempt that did not end by itself, and so may have gone on with the calls it had made."""

TOLERANCE_S: Final = 0.25
"""A call that ended so shortly before its caller was cut ended for that: endings take time to arrive."""


@dataclass(frozen=True, eq=False)
class Made:
    """Requests that attempts made, in the order of `replay.children`.

    place: in `replay.children`. was_s, now_s: how long they took and take. going_on: they and their caller were cut together.
    headers: whether they have any before they end. timer: what cuts them now.
    """

    replay: Replay
    place: Ints
    parent: Ints
    was_s: Floats
    now_s: Floats
    was_good: Flags
    was_cut: Flags
    good: Flags
    going_on: Flags
    timer: Small
    headers: Flags

    @classmethod
    def of(cls, replay: Replay, below: Plan) -> "Made":
        """Those that `below` has a plan for."""
        row = np.full(len(replay.requests), -1, np.int64)
        row[below.request[below.last]] = below.last
        place = np.flatnonzero(row[replay.children] >= 0)
        request = replay.children[place]
        last, parent = row[request], replay.requests.parent[request]
        was_s, was = replay.requests.duration_s[request], replay.requests.kind[request]
        cut = np.isin(was, (Kind.CUT, Kind.LEFT)) & np.isin(replay.attempts.kind[parent], BROKEN_OFF)
        ended_late = replay.child_offset_s[place] + was_s >= replay.attempts.duration_s[parent] - TOLERANCE_S
        return cls(
            replay=replay,
            place=place,
            parent=parent,
            was_s=was_s,
            now_s=below.end_s[last],
            was_good=was == Kind.OK,
            was_cut=was == Kind.LEFT,
            good=below.kind[last] == Kind.OK,
            going_on=cut & ended_late,
            timer=below.timer[last],
            headers=below.held_until_s[last] < below.end_s[last],
        )

    def any(self, flags: Flags) -> Flags:
        """Attempts with such a request."""
        return np.asarray(np.bincount(self.parent[flags], minlength=len(self.replay.attempts)) > 0)

    @cached_property
    def _was_begun_s(self) -> Floats:
        return self.replay.child_offset_s[self.place]

    @cached_property
    def _run(self) -> Ints:
        """Which run of requests side by side each is of: one begins once all before it, of the same attempt, had ended."""
        new = np.append([True], self.parent[1:] != self.parent[:-1])
        ended_s = self._was_begun_s + self.was_s
        # Attempts are set apart by more than any end, so that the latest end so far is that of the same one.
        apart_s = np.cumsum(new) * (float(ended_s.max(initial=0.0)) + 1.0)
        latest_s = np.maximum.accumulate(ended_s + apart_s) - apart_s
        begins = new | np.append([True], self._was_begun_s[1:] >= latest_s[:-1])
        return np.cumsum(begins) - 1

    @cached_property
    def _runs(self) -> tuple[Ints, Floats, Floats]:
        """Of each run: the attempt, when it had ended, and by how much later it ends now."""
        number = int(self._run[-1]) + 1
        was_s, now_s = np.zeros(number), np.zeros(number)
        np.maximum.at(was_s, self._run, self._was_begun_s + self.was_s)
        np.maximum.at(now_s, self._run, self._was_begun_s + self.now_s)
        return self.parent[np.flatnonzero(np.diff(self._run, prepend=-1))], was_s, now_s - was_s

    def shift_s(self, by_s: Floats | None = None) -> Floats:
        """By how much later each attempt ends: requests in turn add up, of those side by side the last to end counts.

        With `by_s` only what had ended by then counts, for a moment of each attempt.
        """
        owner, was_s, later_s = self._runs
        counts = np.ones(len(owner), bool) if by_s is None else was_s <= by_s[owner]
        total_s = np.zeros(len(self.replay.attempts))
        np.add.at(total_s, owner[counts], later_s[counts])
        return total_s

    def delay_s(self) -> Floats:
        """By how much later each request begins: what came before it, of the same attempt, ends so much later."""
        owner, _, later_s = self._runs
        same = np.append([False], owner[1:] == owner[:-1])
        begin = np.maximum.accumulate(np.where(same, 0, np.arange(len(owner))))
        # What never ends makes all after it never begin; sums are of the rest.
        finite = np.where(np.isfinite(later_s), later_s, 0.0)
        endless = (~np.isfinite(later_s)).astype(np.float64)
        before_s, ending = (np.cumsum(values) - values for values in (finite, endless))
        delay_s = np.where(ending > ending[begin], np.inf, before_s - before_s[begin])
        return delay_s[self._run]
