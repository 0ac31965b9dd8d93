"""Ejection by shares of failed answers: which values catch the broken pods and no healthy one, and whether they are worth it.

What the detector judges at a sweep are the answers since the sweep before, so everything here is counted by interval and pod.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .answers import Answers
from .replay import FailurePercentage, Replay, Rules, SuccessRate
from .replay import replay as play
from .unlike import Broken

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LEAST_VOLUME: Final = 10
"""Of fewer answers a share says nothing: one failure is 10 %."""

USUAL: Final = 0.25
"""A quarter of the intervals may have too few answers to be judged; the others are."""

LEAST_GAIN: Final = 0.05
"""A further rule has to spare this share of the failures more: less is not worth a rule."""

ENVOYS_OWN: Final = SuccessRate()
"""What Envoy does unasked where ejection is on at all."""


@dataclass(frozen=True, eq=False)
class Intervals:
    """Answers and good ones of each pod (columns) in each interval between two sweeps (rows)."""

    asked: Floats
    good: Floats
    interval_s: float

    @classmethod
    def of(cls, answers: Answers, interval_s: float) -> "Intervals":
        """Those of answers; the last one, after which no sweep came, is left out."""
        row = (answers.at_s // interval_s).astype(np.int64)
        shape = (int(row.max(initial=0)), len(answers.pods))
        inside = row < shape[0]
        flat = (row * shape[1] + answers.pod)[inside]

        def counted(weights: Floats) -> Floats:
            return np.bincount(flat, weights=weights[inside], minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)

        return cls(counted(np.ones(len(row))), counted((~answers.failed).astype(np.float64)), interval_s)

    @cached_property
    def usual_volume(self) -> int:
        """Answers that a pod has in three of four intervals in which it has any."""
        busy = self.asked[self.asked > 0]
        return int(np.quantile(busy, USUAL, method="lower")) if len(busy) else 0

    def failed_percent(self, volume: int) -> Floats:
        """Failed answers of 100; NaN where a pod has fewer answers than `volume`."""
        return np.where(self.asked >= volume, 100.0 - 100.0 * self.good / np.maximum(self.asked, 1.0), np.nan)

    def deviations(self, rule: SuccessRate, among: Sequence[int] | None = None) -> Floats:
        """How many standard deviations each pod's share of good answers lies below the mean; NaN where it is not judged.

        among: pods that are in; all where it is not given. A detector leaves those out that are out.
        """
        failed = self.failed_percent(rule.request_volume)
        if among is not None:
            failed[:, [pod for pod in range(failed.shape[1]) if pod not in among]] = np.nan
        seen = (~np.isnan(failed)).sum(axis=1, keepdims=True)
        filled = np.nan_to_num(failed)
        mean = filled.sum(axis=1, keepdims=True) / np.maximum(seen, 1)
        spread = np.sqrt((np.where(np.isnan(failed), 0.0, failed - mean) ** 2).sum(axis=1, keepdims=True) / np.maximum(seen, 1))
        judged = (seen >= rule.minimum_hosts) & (spread > 0.0)
        return np.where(judged, (failed - mean) / np.where(spread > 0.0, spread, 1.0), np.nan)


@dataclass(frozen=True)
class Choice:
    """The rules to use and what they would have done; by how many failures that is better than without a rule on shares."""

    rules: Rules
    outcome: Replay
    gain: int = 0


def choose(answers: Answers, broken: Sequence[Broken], rules: Rules) -> Choice:
    """`rules`, with the one rule on shares that spares most failures more and ejects no healthy pod; without, where none does.

    Both at once are no choice: a pod that both catch Envoy counts as two that are out.
    """
    base = play(answers, rules)
    best = Choice(rules, base)
    if not broken:
        return best
    sick = {each.pod for each in broken}
    least = LEAST_GAIN * float(answers.failed.sum())
    for further in _candidates(answers, broken, rules):
        outcome = play(answers, further)
        gain = outcome.spared - base.spared
        if gain > max(best.gain, least) and all(each.pod in sick for each in outcome.ejections):
            best = Choice(further, outcome, gain)
    return best


def healthy(answers: Answers, broken: Iterable[Broken]) -> list[int]:
    """Places of the pods that are not broken."""
    sick = {each.pod for each in broken}
    return [number for number, pod in enumerate(answers.pods) if pod not in sick]


def false_ejections(intervals: Intervals, well: Sequence[int], rule: SuccessRate) -> int:
    """How often a rule would have caught a healthy pod."""
    return int((_worst(intervals, well, rule) > rule.stdev_factor).sum())


def failure_percentage(answers: Answers, broken: Sequence[Broken], rules: Rules) -> FailurePercentage | None:
    """The rule half-way between the worst interval of a healthy pod and what broken ones fail; None where these meet."""
    intervals = Intervals.of(answers, rules.interval_s)
    volume = min(FailurePercentage().request_volume, intervals.usual_volume)
    if volume < LEAST_VOLUME:
        return None
    failed = intervals.failed_percent(volume)[:, healthy(answers, broken)]
    worst = float(np.nanmax(failed)) if np.isfinite(failed).any() else 0.0
    least = min(100.0 * _while_broken(answers, each) for each in broken)
    threshold = round((worst + least) / 2.0)
    hosts = min(FailurePercentage().minimum_hosts, _always_in(answers, rules))
    return FailurePercentage(threshold, hosts, volume) if worst < threshold <= least else None


def success_rate(answers: Answers, broken: Sequence[Broken], rules: Rules) -> SuccessRate | None:
    """The rule with the least factor, from Envoy's own on, that would have caught no healthy pod; None where none is left.

    Of n pods one alone is never more than the root of n - 1 deviations below the mean.
    """
    intervals = Intervals.of(answers, rules.interval_s)
    volume = min(ENVOYS_OWN.request_volume, intervals.usual_volume)
    if volume < LEAST_VOLUME or len(answers.pods) < ENVOYS_OWN.minimum_hosts:
        return None
    rule = SuccessRate(ENVOYS_OWN.stdev_factor, ENVOYS_OWN.minimum_hosts, volume)
    worst = _worst(intervals, healthy(answers, broken), rule)
    factor = max(rule.stdev_factor, math.floor(10.0 * float(worst.max(initial=0.0)) + 1.0) / 10.0)
    return replace(rule, stdev_factor=factor) if factor < math.sqrt(len(answers.pods) - 1) else None


def _candidates(answers: Answers, broken: Sequence[Broken], rules: Rules) -> Iterator[Rules]:
    percentage, rate = failure_percentage(answers, broken, rules), success_rate(answers, broken, rules)
    if percentage is not None:
        yield replace(rules, failure_percentage=percentage)
    if rate is not None:
        yield replace(rules, success_rate=rate)


def _worst(intervals: Intervals, well: Sequence[int], rule: SuccessRate) -> Floats:
    """Deviations of healthy pods, with the broken ones among them or out, whichever is worse for them."""
    beside, alone = (intervals.deviations(rule, among)[:, list(well)] for among in (None, well))
    return np.fmax(np.nan_to_num(beside), np.nan_to_num(alone))


def _while_broken(answers: Answers, pod: Broken) -> float:
    """Share of failures in the pod's worst stretch of time."""
    mine = answers.of(answers.pods.index(pod.pod))
    during = (mine.at_s >= pod.from_s) & (mine.at_s <= pod.until_s)
    return float(mine.failed[during].mean())


def _always_in(answers: Answers, rules: Rules) -> int:
    """Pods that are left when all that may be out are."""
    pods = len(answers.pods)
    return max(1, pods - math.floor(pods * rules.max_ejection_percent / 100.0 + 1e-9))
