"""Limits of calls at a time as recommendations, whatever showed what the callee bears: single calls, or metrics alone."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from meshslo.analysis.knee import Knee

from .observed import Observed
from .recommendation import Current, Effect, Evidence, Recommendation, Status, Target

CONNECTIONS_PER_CALL: Final = 2
"""Connections beyond those in use, so that the limit on calls, which refuses at once, is met before the one that queues."""

SHARP_RATIO: Final = 2.0
"""A knee whose interval spans more than this ratio is not known."""


@dataclass(frozen=True)
class Bearing:
    """What a callee bears, over all its callers: `at` calls at a time, surely between `low` and `high`."""

    at: float
    low: float
    high: float

    @property
    def total(self) -> int:
        """In whole calls."""
        return max(1, math.ceil(self.at))


@dataclass(frozen=True)
class Case:
    """One hop: what its callee bears (None: not known, and `reason` says why), the hop's part of it, its client proxies."""

    target: Target
    bearing: Bearing | None
    part: float
    proxies: int
    reason: str
    evidence: Evidence
    effect: Mapping[str, Effect] = field(default_factory=dict)


@dataclass(frozen=True)
class Sought:
    """How a knee was looked for, in words: that of `waits` over a number of `calls`, `peak` at most.

    mean: how many there were all in all; more: what would tell, if there were more of it.
    """

    waits: str
    calls: str
    peak: str
    mean: str
    more: str


def no_knee(knee: Knee, sought: Sought) -> str:
    """Why a knee that was looked for, in enough of what there is, sets no limit."""
    if knee.status == "none":
        return (
            f"no knee up to {sought.peak} {sought.calls}: {sought.waits} take as long there as at low load. A limit below that "
            f"would refuse calls for nothing; more load is needed to find one ({sought.mean})"
        )
    if knee.status == "everywhere":
        return (
            f"{sought.waits} take longer with every call from the lowest load on: to find a knee, more {sought.more} at low "
            "load must be seen"
        )
    return f"the knee lies between {knee.low:.3g} and {knee.high:.3g} {sought.calls}: to tell, more {sought.more} must be seen"


def limit_of(bearing: Bearing, part: float, proxies: int) -> int:
    """Calls at a time through each client proxy.

    >>> limit_of(Bearing(19.5, 18.0, 21.0), 0.5, 2)
    5
    """
    return max(1, math.ceil(bearing.total * part / proxies - 1e-9))


def limits(observed: Observed, case: Case) -> Iterator[Recommendation]:
    """The recommendations of one hop."""
    if case.bearing is None:
        yield _item(observed, case, "max_concurrent_requests", None, case.reason)
        return
    limit = limit_of(case.bearing, case.part, case.proxies)
    yield _item(observed, case, "max_concurrent_requests", limit, case.reason)
    pending = f"a call waits only while its connection is made: as many as may run, {limit}; fewer refuses calls in a burst"
    yield _item(observed, case, "max_pending", limit, pending)
    connections = (
        f"twice the {limit} calls, so that HTTP/1.1 meets the limit of calls, which refuses at once, and not this one, "
        "behind which calls queue unseen"
    )
    yield _item(observed, case, "max_connections", CONNECTIONS_PER_CALL * limit, connections)


def _item(observed: Observed, case: Case, setting: str, value: int | None, reason: str) -> Recommendation:
    current = Current.read(observed.deployed.find(setting, case.target.callee))
    return Recommendation.of(
        setting,
        value,
        target=case.target,
        current=current,
        status=_status(case, setting, value, current),
        confidence=observed.config.objectives.confidence,
        reason=reason,
        evidence=case.evidence,
        effect=case.effect if setting == "max_concurrent_requests" else None,
    )


def _status(case: Case, setting: str, value: int | None, current: Current | None) -> Status:
    """`keep` where what is deployed lies within the interval of what the callee bears."""
    if value is None or case.bearing is None:
        return "not_identifiable"
    if current is None:
        return "change"
    if setting != "max_concurrent_requests":
        return "keep" if float(current.value) >= value else "change"
    scale = case.part / case.proxies
    low, high = case.bearing.low * scale, math.ceil(case.bearing.high * scale)
    return "keep" if min(low, value) <= float(current.value) <= max(high, value) else "change"
