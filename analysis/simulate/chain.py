"""The whole chain under one set of policies, from the innermost calls outwards: what each request would become.

A call further in that takes longer, or shorter, shifts the attempt that made it by as much; one that now fails makes it fail,
one that no longer fails makes it like an attempt whose calls had not. A call that was cancelled since its caller was cut goes
on as its own group does, and its caller with it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from .engine import Plan, Proxy, Rules
from .fates import Again, Natural
from .kinds import Flags, Floats, Kind, Small, Timer
from .made import Made
from .replay import Replay
from .room import admit

TOLERANT: Final = 0.5
"""Callers that end well in more than this share of cases where a call of theirs failed do without it."""

FEWEST_FAILED: Final = 5
"""So many such cases are needed to say so."""

BAD_GATEWAY: Final = 502
GATEWAY_TIMEOUT: Final = 504


@dataclass(frozen=True, eq=False)
class Outcome:
    """A chain's plan: `rows` of every request, and when `replay.children` are made, from their parent attempt's start.

    natural: how attempts would end by themselves; None for what was seen, where they ended as they did.
    """

    rows: Plan
    child_offset_s: Floats
    natural: Natural | None = None


def observed(replay: Replay) -> Outcome:
    """What was seen to happen, as a plan."""
    attempts, requests = replay.attempts, replay.requests
    last = requests.first + replay.number_of_attempts - 1
    kind, timer = attempts.kind.copy(), attempts.timer.copy()
    # The proxy's word on the whole request: a timer can end it while it waits to be repeated.
    kind[last], timer[last] = requests.kind, requests.timer
    own = timer != Timer.NONE
    plan = Plan(
        request=attempts.request,
        number=attempts.number,
        like=np.arange(len(attempts)),
        start_s=attempts.offset_s,
        end_s=attempts.offset_s + attempts.duration_s,
        held_until_s=attempts.offset_s + np.fmin(attempts.headers_s, attempts.duration_s),
        kind=kind,
        timer=timer,
        own=own,
    )
    for level in reversed(range(replay.levels - 1)):
        rows = np.flatnonzero(requests.level[attempts.request] == level)
        below = _inherited(replay, plan)
        failed = (kind[rows] != Kind.OK) & (kind[rows] != Kind.LEFT) & ~own[rows]
        timer[rows] = np.where(failed, below[rows], timer[rows])
    return Outcome(plan, replay.child_offset_s)


def _inherited(replay: Replay, plan: Plan) -> Small:
    """For each attempt the timer that cut one of the requests it made, none where there is none."""
    last = plan.last
    timer = np.zeros(len(replay.requests), np.int8)
    timer[plan.request[last]] = np.where(plan.kind[last] == Kind.OK, Timer.NONE, plan.timer[last])
    found = np.zeros(len(replay.attempts), np.int8)
    np.maximum.at(found, replay.requests.parent[replay.children], timer[replay.children])
    return found


def simulated(replay: Replay, natural: Natural, rules: Rules, again: Again, rng: np.random.Generator) -> Outcome:
    """What becomes of the calls under `rules`; `natural` is how their attempts would end by themselves."""
    proxy, limits = Proxy(replay, rules, again), [policy.limit for policy in rules.policies]
    parts: list[Plan] = []
    offset_s = replay.child_offset_s.copy()
    for requests in reversed(replay.at_level):
        if parts:
            natural = _moved(replay, natural, parts[-1], offset_s, rng)
        parts.append(admit(proxy.plan(natural, requests, rng), replay, limits))
    return Outcome(Plan.of_parts(parts), offset_s, natural)


def _moved(replay: Replay, natural: Natural, below: Plan, offset_s: Floats, rng: np.random.Generator) -> Natural:
    """`natural` with attempts as the calls they make (`below`) let them be; `offset_s` of those calls is moved in place."""
    made = Made.of(replay, below)
    if not len(made.place):
        return natural
    moved = natural.copy()
    _shift(replay, moved, made, offset_s)
    _repair(replay, moved, made, rng)
    _fail(replay, moved, made, offset_s)
    return moved


def _shift(replay: Replay, natural: Natural, made: Made, offset_s: Floats) -> None:
    """Attempts last longer, or shorter, by what their calls do; headers and first tokens wait for calls that ended before."""
    attempts = replay.attempts
    for moment_s in (natural.headers_s, natural.first_token_s):
        moment_s += made.shift_s(moment_s)
    shift_s = made.shift_s()
    goes_on = made.any(made.going_on)
    base_s = np.where(goes_on, attempts.duration_s, natural.duration_s)
    natural.duration_s[:] = np.maximum(base_s + shift_s, 0.0)
    natural.kind[goes_on], natural.code[goes_on] = Kind.OK, 200
    # What had no headers by then and is no stream has them at its end.
    whole = goes_on & np.isnan(attempts.headers_s) & ~replay.requests.streamed[attempts.request]
    natural.headers_s[whole] = natural.duration_s[whole]
    offset_s[made.place] += made.delay_s()


def _repair(replay: Replay, natural: Natural, made: Made, rng: np.random.Generator) -> None:
    """An attempt that failed with a call of its own which no longer fails becomes like one of its group that ended well."""
    attempts = replay.attempts
    hurt = made.any(~made.good)
    failed = np.isin(natural.kind, (Kind.STATUS, Kind.RESET, Kind.BROKEN))
    wanting = np.flatnonzero(made.any(~made.was_good & made.good) & ~hurt & failed)
    well = np.flatnonzero((attempts.kind == Kind.OK) & ~hurt)
    well = well[np.argsort(attempts.group[well], kind="stable")]
    first = np.searchsorted(attempts.group[well], attempts.group[wanting])
    number = np.searchsorted(attempts.group[well], attempts.group[wanting], side="right") - first
    some = number > 0
    chosen = well[first[some] + (rng.uniform(size=int(some.sum())) * number[some]).astype(np.int64)]
    natural.become(wanting[some], chosen)


def _fail(replay: Replay, natural: Natural, made: Made, offset_s: Floats) -> None:
    """An attempt fails with a call of its own that fails now and did not, unless its group does without such calls."""
    fails = ~made.good & (made.was_good | made.going_on) & ~_tolerant(replay, made)[replay.attempts.group[made.parent]]
    which = np.flatnonzero(fails)
    ends_s = (offset_s[made.place] + made.now_s)[which]
    # Of several the earliest counts: the last one written stays.
    which, ends_s = which[np.argsort(-ends_s)], np.sort(ends_s)[::-1]
    who = made.parent[which]
    begun = made.headers[which] & (natural.headers_s[who] < ends_s)
    natural.duration_s[who] = np.minimum(natural.duration_s[who], ends_s)
    natural.kind[who] = np.where(begun, Kind.BROKEN, Kind.STATUS)
    natural.code[who] = np.where(begun, 200, np.where(made.timer[which] > 0, GATEWAY_TIMEOUT, BAD_GATEWAY))
    natural.headers_s[who] = np.where(begun, natural.headers_s[who], ends_s)
    cut = np.flatnonzero((made.timer > 0) & ~made.good)
    cut = cut[natural.kind[made.parent[cut]] != Kind.OK]
    natural.timer[made.parent[cut]] = made.timer[cut]


def _tolerant(replay: Replay, made: Made) -> Flags:
    """Groups whose attempts mostly end well though a call of theirs failed."""
    attempts, number = replay.attempts, len(replay.groups)
    hurt = made.any(~made.was_good & ~made.was_cut) & ~np.isin(attempts.kind, (Kind.CUT, Kind.LEFT))
    cases = np.bincount(attempts.group[hurt], minlength=number)
    well = np.bincount(attempts.group[hurt & (attempts.kind == Kind.OK)], minlength=number)
    return np.asarray((cases >= FEWEST_FAILED) & (well > TOLERANT * cases))
