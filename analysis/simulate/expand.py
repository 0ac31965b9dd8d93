"""From the entry inwards: which attempts happen under a plan, when, and until when.

An attempt that happens twice makes its calls twice; one that ends sooner ends its calls, or never makes them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .chain import Outcome
from .engine import Plan
from .kinds import Flags, Floats, Ints, Kind, Small, Timer
from .replay import Replay


@dataclass(frozen=True, eq=False)
class Happened:
    """Requests of one level that happen, and their attempts (rows of the plan). Seconds from the first call's start.

    root: the request from outside that each is for. own: a timer of its own proxy cut it. Arrays of attempts begin with `a_`:
    a_of is the request here that each is of, a_row its row in the plan; a_useful: it and all around it ended well.
    """

    request: Ints
    root: Ints
    kind: Small
    timer: Small
    own: Flags
    a_of: Ints
    a_row: Ints
    a_begin_s: Floats
    a_end_s: Floats
    a_useful: Flags


@dataclass(frozen=True, eq=False)
class _Asked:
    """Requests that are made: when, until when their caller waits, and whether all around them ends well."""

    request: Ints
    root: Ints
    begin_s: Floats
    until_s: Floats
    useful: Flags


def expand(replay: Replay, outcome: Outcome) -> Iterator[Happened]:
    """What happens, level by level. A caller's end ends what it asked for, as far as it has not (in what was seen it has)."""
    entry = np.flatnonzero(replay.requests.level == 0)
    asked = _Asked(entry, entry, replay.requests.start_s[entry], np.full(len(entry), np.inf), np.ones(len(entry), bool))
    first = np.searchsorted(outcome.rows.request, np.arange(len(replay.requests) + 1))
    horizon_s = float((replay.requests.start_s + replay.requests.duration_s).max(initial=0.0))
    while len(asked.request):
        happened = _happened(outcome.rows, first, asked, horizon_s)
        yield happened
        asked = _made(replay, outcome, happened)


def _happened(rows: Plan, first: Ints, asked: _Asked, horizon_s: float) -> Happened:
    """The attempts of requests, as far as their callers wait for them. first: where each request's rows begin in the plan."""
    of, row = _spread(first[asked.request], first[asked.request + 1])
    there = asked.begin_s[of] + rows.start_s[row] < asked.until_s[of]
    of, row = of[there], row[there]
    last = first[asked.request + 1] - 1
    stopped = asked.begin_s + rows.end_s[last] > asked.until_s
    # What never ends is no success, and goes on until the end of what is looked at.
    ended = np.where(np.isinf(rows.end_s[last]), Kind.BROKEN, rows.kind[last])
    kind = np.where(stopped, Kind.LEFT, ended).astype(np.int8)
    begin_s = asked.begin_s[of] + rows.start_s[row]
    end_s = np.minimum(asked.begin_s[of] + rows.end_s[row], asked.until_s[of])
    return Happened(
        request=asked.request,
        root=asked.root,
        kind=kind,
        timer=np.where(stopped, Timer.NONE, rows.timer[last]).astype(np.int8),
        own=rows.own[last] & ~stopped,
        a_of=of,
        a_row=row,
        a_begin_s=begin_s,
        a_end_s=np.where(np.isinf(end_s), np.maximum(horizon_s, begin_s), end_s),
        a_useful=asked.useful[of] & (row == last[of]) & (kind[of] == Kind.OK),
    )


def _made(replay: Replay, outcome: Outcome, happened: Happened) -> _Asked:
    """What attempts ask for before they end; as the attempt that each is like did."""
    like = outcome.rows.like[happened.a_row]
    like = like if outcome.natural is None else outcome.natural.like[like]
    maker, child = _spread(replay.first_child[like], replay.first_child[like + 1])
    begin_s = happened.a_begin_s[maker] + outcome.child_offset_s[child]
    until_s = happened.a_end_s[maker] if outcome.natural is not None else np.full(len(maker), np.inf)
    made = begin_s < until_s
    maker, child = maker[made], child[made]
    root = happened.root[happened.a_of[maker]]
    return _Asked(replay.children[child], root, begin_s[made], until_s[made], happened.a_useful[maker])


def _spread(begin: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Every number from begin to end of each pair: which pair it is of, and the number.

    >>> [part.tolist() for part in _spread(np.array([3, 9]), np.array([5, 9]))]
    [[0, 0], [3, 4]]
    """
    sizes = end - begin
    of = np.repeat(np.arange(len(sizes)), sizes)
    return of, np.arange(len(of)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + begin[of]
