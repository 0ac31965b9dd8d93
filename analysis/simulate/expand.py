"""From the entry inwards: which attempts happen under a plan, when, and until when.

An attempt that happens twice makes its calls twice; one that ends sooner ends its calls, or never makes them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .chain import Outcome
from .kinds import Flags, Floats, Ints, Kind, Small
from .replay import Replay


@dataclass(frozen=True, eq=False)
class Happened:
    """Requests of one level that happen, and their attempts (rows of the plan). Seconds from the first call's start.

    root: the request from outside that each is for. stopped: its caller ended before it. good: it ended well, and so did all
    around it. Arrays of attempts begin with `a_`; a_of is the request here that it is of.
    """

    request: Ints
    root: Ints
    kind: Small
    timer: Small
    own: Flags
    stopped: Flags
    retries: Ints
    a_of: Ints
    a_like: Ints
    a_begin_s: Floats
    a_end_s: Floats
    a_useful: Flags


def expand(replay: Replay, outcome: Outcome) -> Iterator[Happened]:
    """What happens, level by level. A caller's end ends what it asked for, as far as it has not (in what was seen it has)."""
    cancels = outcome.natural is not None
    rows, requests = outcome.rows, np.flatnonzero(replay.requests.level == 0)
    first = np.searchsorted(rows.request, np.arange(len(replay.requests) + 1))
    root, begin_s, until_s = requests, replay.requests.start_s[requests], np.full(len(requests), np.inf)
    useful, horizon_s = (
        np.ones(len(requests), bool),
        float((replay.requests.start_s + replay.requests.duration_s).max(initial=0.0)),
    )
    while len(requests):
        of, row = _spread(first[requests], first[requests + 1])
        begins_s, ends_s = begin_s[of] + rows.start_s[row], begin_s[of] + rows.end_s[row]
        there = begins_s < until_s[of]
        of, row, begins_s, ends_s = of[there], row[there], begins_s[there], ends_s[there]
        last = first[requests + 1] - 1
        stopped = begin_s + rows.end_s[last] > until_s
        is_last = row == last[of]
        # What never ends is no success, and goes on until the end of what is looked at.
        kind = np.where(stopped, Kind.LEFT, np.where(np.isinf(rows.end_s[last]), Kind.BROKEN, rows.kind[last])).astype(np.int8)
        a_useful = useful[of] & is_last & (kind[of] == Kind.OK)
        ends_s = np.minimum(ends_s, until_s[of])
        ends_s = np.where(np.isinf(ends_s), np.maximum(horizon_s, begins_s), ends_s)
        yield Happened(
            requests, root, kind, np.where(stopped, 0, rows.timer[last]).astype(np.int8), rows.own[last] & ~stopped, stopped,
            np.bincount(of, minlength=len(requests)) - 1, of, rows.like[row], begins_s, ends_s, a_useful,
        )  # fmt: skip
        maker, child = _spread(replay.first_child[rows.like[row]], replay.first_child[rows.like[row] + 1])
        begin_s = begins_s[maker] + outcome.child_offset_s[child]
        until_s = ends_s[maker] if cancels else np.full(len(maker), np.inf)
        made = begin_s < until_s
        maker, child, begin_s, until_s = maker[made], child[made], begin_s[made], until_s[made]
        requests, root, useful = replay.children[child], root[of[maker]], a_useful[maker]


def _spread(begin: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Every number from begin to end of each pair: which pair it is of, and the number.

    >>> [part.tolist() for part in _spread(np.array([3, 9]), np.array([5, 9]))]
    [[0, 0], [3, 4]]
    """
    sizes = end - begin
    of = np.repeat(np.arange(len(sizes)), sizes)
    return of, np.arange(len(of)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + begin[of]
