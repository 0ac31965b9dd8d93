"""What priorities would have sent to the second place, given the ejections of the first one's endpoints.

Source: Envoy, "Priority levels": the first priority keeps as many per cent of the calls as it has healthy endpoints, times the
overprovisioning factor and at most all; the next one gets the rest.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meshslo.analysis.ejection.answers import Answers
from meshslo.analysis.ejection.replay import Ejection, Replay

Floats = NDArray[np.float64]

OVERPROVISIONING: Final = 1.4
"""Envoy's own factor: a place keeps all of its calls while 72 % of its endpoints are there."""


MERGED_S: Final = 1.0
"""Envoy's own update_merge_window."""


@dataclass(frozen=True)
class Failover:
    """A time in which the second place would have got calls: seconds since the first call; `most` is their largest share."""

    from_s: float
    until_s: float
    most: float

    @property
    def length_s(self) -> float:
        """How long it would have lasted."""
        return self.until_s - self.from_s


@dataclass(frozen=True)
class Spill:
    """All failovers in order; calls they would have moved; ejections of an endpoint that had only just come back."""

    failovers: tuple[Failover, ...]
    moved: float
    flaps: int

    @property
    def length_s(self) -> float:
        """How long they would have lasted together."""
        return sum(each.length_s for each in self.failovers)


def spill(
    answers: Answers, outcome: Replay, first: Collection[str], rest_s: float, overprovisioning: float = OVERPROVISIONING
) -> Spill:
    """What `outcome`, the replay of ejections over `answers`, means for the place with the endpoints `first`.

    rest_s: an endpoint that is ejected again so soon after it came back has flapped.
    """
    mine = [each for each in outcome.ejections if each.pod in first]
    ends = [answers.span_s if each.until_s is None else each.until_s for each in mine]
    moments = np.unique([0.0, *(each.at_s for each in mine), *ends])
    begun = np.sort([each.at_s for each in mine])
    out = np.searchsorted(begun, moments, side="right") - np.searchsorted(np.sort(ends), moments, side="right")
    moved = np.maximum(0.0, 1.0 - overprovisioning * (1.0 - out / max(len(first), 1)))
    asked = answers.at_s[np.isin(answers.pod, [n for n, pod in enumerate(answers.pods) if pod in first])]
    each_moved = moved[np.searchsorted(moments, asked, side="right") - 1]
    return Spill(_failovers(moments, moved, answers.span_s), float(each_moved.sum()), _flaps(mine, rest_s))


def late_failures(answers: Answers, outcome: Replay, first: Collection[str]) -> int:
    """Failures of endpoints that are out already, and that workers go on asking until they are told.

    Envoy tells them of a change at once, and of further ones of one priority within `MERGED_S` all together, so much later.
    Source: Envoy, cluster_manager_impl.cc, scheduleUpdate; CommonLbConfig.update_merge_window. Seen on Envoy 1.40.
    """
    told_s, late = -math.inf, 0
    for each in (each for each in outcome.ejections if each.pod in first):
        if each.at_s >= told_s:
            told_s = each.at_s if each.at_s - told_s > MERGED_S else each.at_s + MERGED_S
        mine = answers.pod == answers.pods.index(each.pod)
        late += int((mine & answers.failed & (answers.at_s > each.at_s) & (answers.at_s <= told_s)).sum())
    return late


def _failovers(moments: Floats, moved: Floats, end_s: float) -> tuple[Failover, ...]:
    """Stretches of time in which anything is moved."""
    found = []
    for start in np.flatnonzero((moved > 0.0) & (np.concatenate([[0.0], moved[:-1]]) <= 0.0)):
        over = np.flatnonzero(moved[start:] <= 0.0)
        stop = int(start + over[0]) if len(over) else len(moments)
        until_s = float(moments[stop]) if stop < len(moments) else end_s
        found.append(Failover(float(moments[start]), until_s, float(moved[start:stop].max())))
    return tuple(found)


def _flaps(ejections: list[Ejection], rest_s: float) -> int:
    back: dict[str, float] = {}
    flaps = 0
    for each in ejections:
        flaps += each.pod in back and each.at_s - back[each.pod] < rest_s
        if each.until_s is not None:
            back[each.pod] = each.until_s
    return flaps
