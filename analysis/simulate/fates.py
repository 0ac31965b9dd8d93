"""What cut calls would have become: drawn from the Kaplan-Meier tail of their group, as far as that goes.

A call that was cut after c seconds becomes one that was seen to end later, each with the weight that the survival curve gives.
Where the curve ends above 0 nothing is known of the rest: they end just then (`soonest`), or never (`latest`), and the truth
lies between. Sources: Kaplan and Meier 1958; drawing from the curve: Efron 1981 (bootstrap of censored data); random weights of
calls, so that the curve's own uncertainty shows between draws: Lo 1993 (Bayesian bootstrap for censored data).
"""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Final

import numpy as np

from meshslo.analysis.recommend.current import PILE_WIDTH_RATIO, PILE_WIDTH_S

from .kinds import Flags, Floats, Ints, Kind, Small
from .replay import Attempts, Replay

AS_A_WHOLE: Final = 0.9
"""An answer whose first token comes so late in it comes as a whole."""

FEWEST_FOLLOWED: Final = 5
"""Calls that must still be followed where another ends, for that to say anything of them: one that a pause of its observer made
seem longer than the timer that cut the others is no tail."""

LARGEST_FALL: Final = 1e4

FEWEST_SECONDS: Final = 30
"""Second attempts after which they, and not first ones, say how a repetition ends: 18 % either way (Wilson)."""


@dataclass(frozen=True, eq=False)
class Natural:
    """How each attempt would end if no timer cut it: seconds from its start (inf: never), headers' too (NaN: none came).

    pace_per_s: tokens a second, from the first on. like: the attempt whose calls further in it makes. timer: what cut a call
    further in, where that made it fail.
    """

    duration_s: Floats
    headers_s: Floats
    silence_s: Floats
    first_token_s: Floats
    pace_per_s: Floats
    kind: Small
    code: Ints
    grpc: Ints
    like: Ints
    timer: Small

    def copy(self) -> "Natural":
        """The same in arrays of its own."""
        return Natural(**{field.name: getattr(self, field.name).copy() for field in fields(self)})

    def become(self, attempts: Ints, others: Ints) -> None:
        """Let attempts end as others do."""
        for field in fields(self):
            values = getattr(self, field.name)
            values[attempts] = values[others]


@dataclass(frozen=True, eq=False)
class Fates:
    """The fates of a replay's cut attempts, to be drawn."""

    replay: Replay

    @cached_property
    def cut(self) -> Flags:
        """Attempts of which it is not known how they would have ended."""
        kind = self.replay.attempts.kind
        return np.asarray((kind == Kind.CUT) | (kind == Kind.LEFT))

    @cached_property
    def _order(self) -> Ints:
        """By group and duration; at one duration what ended comes before what was cut."""
        attempts = self.replay.attempts
        return np.lexsort((self.cut, attempts.duration_s, attempts.group))

    def draw(self, rng: np.random.Generator, *, soonest: bool, reweigh: bool = True) -> Natural:
        """One draw of every fate; what no call shows ends as soon as it may have, or never."""
        attempts = self.replay.attempts
        donor, last_s = self._donors(rng, reweigh=reweigh)
        cut = np.flatnonzero(self.cut)
        known = donor >= 0
        like_cut = np.where(known, donor, cut)
        duration_s = attempts.duration_s.copy()
        unseen_s = np.maximum(last_s, _just_after(attempts.duration_s[cut])) if soonest else np.full(len(cut), np.inf)
        duration_s[cut] = np.where(known, np.maximum(attempts.duration_s[like_cut], attempts.duration_s[cut]), unseen_s)
        kind = attempts.kind.copy()
        kind[cut] = np.where(known, attempts.kind[like_cut], Kind.OK)
        own = Natural(
            duration_s=duration_s,
            headers_s=attempts.headers_s.copy(),
            silence_s=attempts.silence_s.copy(),
            first_token_s=attempts.first_token_s.copy(),
            pace_per_s=_pace_per_s(attempts),
            kind=kind,
            code=attempts.code.copy(),
            grpc=attempts.grpc.copy(),
            like=np.arange(len(attempts)),
            timer=np.zeros(len(attempts), np.int8),
        )
        _continue(own, attempts, cut, like_cut, known)
        return own

    def _donors(self, rng: np.random.Generator, *, reweigh: bool) -> tuple[Ints, Floats]:
        """For each cut attempt one of its group that ended later, -1 where that falls beyond the last; and the last's end."""
        attempts, order = self.replay.attempts, self._order
        group, cut = attempts.group[order], self.cut[order]
        last = np.append(np.flatnonzero(np.diff(group)), len(group) - 1)[group] if len(group) else group
        fallen = _fallen(group, cut, last, rng.exponential(size=len(order)) if reweigh else np.ones(len(order)))
        events = np.flatnonzero(~cut & (last - np.arange(len(group)) + 1 >= FEWEST_FOLLOWED))
        places = np.flatnonzero(cut)
        found = np.searchsorted(fallen[events], fallen[places] - np.log(rng.uniform(size=len(places))))
        # One more than there are stands for beyond them all.
        of = np.append(group[events], -1)[found]
        donor = np.where(of == group[places], np.append(order[events], -1)[found], -1)
        last_s = np.zeros(len(self.replay.groups))
        np.maximum.at(last_s, group[events], attempts.duration_s[order[events]])
        by_attempt = np.argsort(order[places])
        return donor[by_attempt], last_s[group[places]][by_attempt]


def _fallen(group: Ints, cut: Flags, last: Ints, weight: Floats) -> Floats:
    """By how much the logarithm of each group's survival curve has fallen after each of its attempts, in order.

    last: the place of the group's last attempt. Between groups is a step larger than any fall, so that the whole ascends.
    """
    total = np.cumsum(weight)
    at_risk = np.maximum(total[last] - total + weight, weight)
    # The last of a group that was seen to end leaves nobody: a share of 0, short of minus infinity.
    passed = np.cumsum(np.where(cut, 0.0, np.log1p(-np.minimum(weight / at_risk, 1.0 - 1e-12))))
    begins = np.append(True, group[1:] != group[:-1]) if len(group) else np.zeros(0, bool)
    before = np.append(0.0, passed[:-1])[begins][np.cumsum(begins) - 1] if len(group) else passed
    return np.asarray(group * LARGEST_FALL + (before - passed))


def _just_after(cut_s: Floats) -> Floats:
    """The soonest that a call may have ended which was cut: timers fire late by some milliseconds, and clocks start early."""
    return cut_s + np.maximum(PILE_WIDTH_S, PILE_WIDTH_RATIO * cut_s)


def _began_s(first_token_s: Floats, duration_s: Floats) -> Floats:
    """When tokens began to be made: one answer as a whole shows its first at its end, and was made all along."""
    return np.where(first_token_s < AS_A_WHOLE * duration_s, first_token_s, 0.0)


def _pace_per_s(attempts: Attempts) -> Floats:
    ran_s = attempts.duration_s - _began_s(attempts.first_token_s, attempts.duration_s)
    return np.asarray(attempts.tokens / np.maximum(ran_s, 1e-9))


def _continue(own: Natural, attempts: Attempts, cut: Ints, like: Ints, known: Flags) -> None:
    """The rest of cut attempts' fates: what had come stays, what had not comes as in the attempt they become, after the cut."""
    cut_s, until_s = attempts.duration_s[cut], own.duration_s[cut]
    for name in ("headers_s", "first_token_s"):
        seen_s, theirs_s = getattr(attempts, name)[cut], np.fmax(getattr(attempts, name)[like], cut_s)
        getattr(own, name)[cut] = np.where(np.isnan(seen_s), np.where(known, theirs_s, until_s), seen_s)
    own.silence_s[cut] = np.fmax(attempts.silence_s[cut], np.where(known, attempts.silence_s[like], np.nan))
    # An answer goes on at the pace that it had.
    begun = attempts.tokens[cut] > 0
    own.pace_per_s[cut] = np.where(begun, own.pace_per_s[cut], np.where(known, own.pace_per_s[like], 0.0))
    own.code[cut] = np.where(known, attempts.code[like], 200)
    own.grpc[cut] = np.where(known, attempts.grpc[like], 0)


def tokens_made(natural: Natural, attempt: Ints, ran_s: Floats) -> Floats:
    """Tokens that attempts have made after so many seconds."""
    whole_s = natural.duration_s[attempt]
    began_s = _began_s(natural.first_token_s[attempt], whole_s)
    return np.asarray(natural.pace_per_s[attempt] * np.maximum(np.minimum(ran_s, whole_s) - began_s, 0.0))


@dataclass(frozen=True, eq=False)
class Again:
    """What a further attempt is like: the one that was seen, else drawn from second attempts, else from first ones.

    Where no second attempts were seen, what repeating gains is not known: with `hopeful` it ends as any first attempt does,
    else just as the one before it did.
    """

    replay: Replay
    hopeful: bool

    @cached_property
    def _pools(self) -> tuple[Ints, Ints, Ints, Flags]:
        """Attempts by group, where each group's begin, how many, and whether they are second ones."""
        attempts, number = self.replay.attempts, len(self.replay.groups)
        later = np.bincount(attempts.group[attempts.number > 1], minlength=number) >= FEWEST_SECONDS
        chosen = np.flatnonzero(np.where(later[attempts.group], attempts.number > 1, attempts.number == 1))
        chosen = chosen[np.argsort(attempts.group[chosen], kind="stable")]
        sizes = np.bincount(attempts.group[chosen], minlength=number)
        return chosen, np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes, later

    def after(self, attempt: Ints, rng: np.random.Generator) -> Ints:
        """The attempt to take for the one that follows each of `attempt`."""
        attempts = self.replay.attempts
        following = np.minimum(attempt + 1, len(attempts) - 1)
        seen = (following != attempt) & (attempts.request[following] == attempts.request[attempt])
        chosen, begin, sizes, later = self._pools
        group = attempts.group[attempt]
        at = begin[group] + (rng.uniform(size=len(attempt)) * sizes[group]).astype(np.int64)
        drawn = chosen[np.minimum(at, len(chosen) - 1)]
        unknown = attempt if not self.hopeful else drawn
        fresh = np.where(sizes[group] > 0, np.where(later[group], drawn, unknown), attempt)
        return np.where(seen, following, fresh)
