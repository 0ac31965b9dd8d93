"""Which repetitions find room: the breaker's `max_retries`, or a retry budget, in the order in which they are asked for.

Source: Envoy, source/common/upstream/resource_manager_impl.h: one more is admitted while active retries < max(floor(ratio x N),
min_retry_concurrency); N is active requests, or with `budget_interval` those started within it.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from .engine import Plan
from .kinds import Flags, Floats, Ints
from .policy import Limit
from .replay import Replay

NO_LIMIT_FROM: Final = 1e6
"""So many retries at a time are as good as no limit; Istio's default is 2 ** 32 - 1."""


def admit(plan: Plan, replay: Replay, limits: Sequence[Limit]) -> Plan:
    """`plan` without the repetitions that find no room; such a request ends as the attempt before did.

    limits: by group. Retries of one callee share its limit, as in one proxy: several proxies in front of it have one each.
    """
    callees = replay.groups["hop"].str.split(">").list.last().to_list()
    dropped = np.zeros(len(plan), dtype=bool)
    group = replay.group[plan.request]
    for callee in sorted(set(callees)):
        members = np.array([name == callee for name in callees])
        rows = np.flatnonzero(members[group])
        limit = next((limits[n] for n in np.flatnonzero(members).tolist()), Limit())
        if (math.isfinite(limit.least) and limit.least < NO_LIMIT_FROM) or limit.ratio is not None:
            dropped[rows] = ~_with_room(plan.take(rows), replay.requests.start_s, limit)
    return plan.take(~dropped)


def _with_room(plan: Plan, start_s: Floats, limit: Limit) -> Flags:
    """The rows of one callee's plan that happen."""
    wants = np.flatnonzero(plan.request[1:] == plan.request[:-1])
    began_s = start_s[plan.request]
    at_s = (began_s + plan.end_s)[wants]
    order = np.argsort(at_s, kind="stable")
    wants, at_s = wants[order], at_s[order]
    room = _Room(limit, _others(plan, began_s, at_s, limit.interval_s))
    columns = (plan.request, plan.number, began_s + plan.start_s, began_s + plan.end_s, began_s + plan.held_until_s)
    again = zip(*(column[wants + 1].tolist() for column in columns), strict=True)
    refused: dict[int, int] = {}
    for place, (now_s, (request, number, *span_s)) in enumerate(zip(at_s.tolist(), again, strict=True)):
        # Of a request that found no room once nothing more is asked.
        if request not in refused and not room.take(place, now_s, *span_s):
            refused[request] = number
    stop = np.full(len(start_s), np.iinfo(np.int64).max)
    stop[list(refused)] = list(refused.values())
    return np.asarray(plan.number < stop[plan.request])


def _others(plan: Plan, began_s: Floats, at_s: Floats, interval_s: float) -> list[int]:
    """First attempts that are active at each moment, or started within the interval before it."""
    first = plan.number == 1
    begins = np.sort((began_s + plan.start_s)[first])
    ends = begins + interval_s if interval_s > 0 else np.sort((began_s + plan.end_s)[first])
    active: Ints = np.searchsorted(begins, at_s, side="right") - np.searchsorted(ends, at_s, side="right")
    return [int(number) for number in active]


@dataclass
class _Room:
    """The retries under way at a proxy, as time goes on."""

    limit: Limit
    others: list[int]

    def __post_init__(self) -> None:
        self.held: list[float] = []
        self.counted: list[float] = []

    def take(self, place: int, now_s: float, begin_s: float, end_s: float, held_s: float) -> bool:
        """Whether one more may begin; it is counted then."""
        for heap in (self.held, self.counted):
            while heap and heap[0] <= now_s:
                heapq.heappop(heap)
        most = self.limit.least
        if self.limit.ratio is not None:
            most = max(most, math.floor(self.limit.ratio * (self.others[place] + len(self.counted))))
        if len(self.held) >= most:
            return False
        heapq.heappush(self.held, held_s)
        heapq.heappush(self.counted, begin_s + self.limit.interval_s if self.limit.interval_s > 0 else end_s)
        return True
