"""Envoy's outlier detection over answers that were seen: whom it ejects, when, and for how long.

Source: Envoy 1.40, source/common/upstream/outlier_detection_impl.cc. Failures in a row are counted by pod; at the limit the pod
is ejected where one more may be out, and the count begins anew either way. Each sweep lets those back whose time is over: the
first time after `base_ejection_time`, longer by as much each time it comes again. Then it judges what each pod answered since
the sweep before, by success rate and by failure percentage, and counts anew. Last, the time gets shorter by one such step for
pods that are in and have been back for an interval or more. Whether a time that ends with a sweep is over at that one or at the
next is a matter of a millisecond in Envoy's timer; here it is over.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from .answers import GATEWAY_FAILURE, GOOD, Answers

MAX_EJECTION_S: Final = 300.0
"""Envoy's max_ejection_time, or the base where that is longer."""

ROUNDING: Final = 1e-9
"""Shares that are all alike differ by less from their mean, and sums of equal times from each other."""


@dataclass(frozen=True)
class SuccessRate:
    """Pods with so many answers between two sweeps are compared, where there are so many of them.

    One whose share of good answers is `stdev_factor` standard deviations (of all of them) below their mean is ejected.
    """

    stdev_factor: float = 1.9
    minimum_hosts: int = 5
    request_volume: int = 100


@dataclass(frozen=True)
class FailurePercentage:
    """Pods with so many answers between two sweeps are judged, where there are so many of them.

    One that failed `threshold` of 100 answers or more is ejected, whatever the others did.
    """

    threshold: int = 85
    minimum_hosts: int = 5
    request_volume: int = 50


@dataclass(frozen=True)
class Rules:
    """Settings of the detector; a limit of None is off. The percentage is of all pods, the one to be ejected included.

    The two rules on shares are not for use together: a pod that both catch Envoy counts as two that are out.
    """

    consecutive_5xx: int | None = 5
    consecutive_gateway_failures: int | None = None
    interval_s: float = 10.0
    base_ejection_time_s: float = 30.0
    max_ejection_percent: float = 10.0
    success_rate: SuccessRate | None = None
    failure_percentage: FailurePercentage | None = None


@dataclass(frozen=True)
class Ejection:
    """One pod out from `at_s` until `until_s` (None: still out at the end), and by which rule."""

    pod: str
    at_s: float
    until_s: float | None
    rule: str


@dataclass(frozen=True)
class Replay:
    """The ejections in order, how often one was prevented by the percentage, and answers of pods that were out meanwhile.

    spared: failures among those answers, which others would have been asked for.
    """

    ejections: tuple[Ejection, ...]
    prevented: int
    skipped: int
    spared: int


@dataclass
class _Pod:
    """The detector's counts of one pod."""

    failures: int = 0
    gateway_failures: int = 0
    out_since_s: float | None = None
    back_since_s: float | None = None
    backoff: int = 0
    rule: str = ""


@dataclass
class _Detector:
    """One detector while it runs."""

    rules: Rules
    pods: list[_Pod]
    names: tuple[str, ...]
    done: list[Ejection] = field(default_factory=list)
    prevented: int = 0

    def judge(self, number: int, kind: int, at_s: float) -> None:
        pod, rules = self.pods[number], self.rules
        if kind == GOOD:
            pod.failures = pod.gateway_failures = 0
            return
        pod.failures += 1
        pod.gateway_failures = pod.gateway_failures + 1 if kind == GATEWAY_FAILURE else 0
        if rules.consecutive_gateway_failures == pod.gateway_failures:
            pod.gateway_failures = 0
            self.eject(pod, at_s, "consecutive_gateway_failures")
        if rules.consecutive_5xx == pod.failures:
            pod.failures = 0
            self.eject(pod, at_s, "consecutive_5xx")

    def eject(self, pod: _Pod, at_s: float, rule: str) -> None:
        if pod.out_since_s is not None:
            return
        out = sum(other.out_since_s is not None for other in self.pods)
        if 100.0 * (out + 1) / len(self.pods) > self.rules.max_ejection_percent:
            self.prevented += 1
            return
        pod.out_since_s, pod.rule = at_s, rule
        if pod.backoff * self.rules.base_ejection_time_s < self._longest_s + self.rules.base_ejection_time_s:
            pod.backoff += 1

    def let_back(self, at_s: float) -> None:
        """Let back in those whose time is over."""
        for name, pod in zip(self.names, self.pods, strict=True):
            if pod.out_since_s is None:
                continue
            if at_s - pod.out_since_s >= min(pod.backoff * self.rules.base_ejection_time_s, self._longest_s) - ROUNDING:
                self.done.append(Ejection(name, pod.out_since_s, at_s, pod.rule))
                pod.out_since_s, pod.back_since_s = None, at_s
                pod.failures = pod.gateway_failures = 0

    def forgive(self, at_s: float) -> None:
        """Shorten the next time of those that have been back for an interval."""
        for pod in self.pods:
            if pod.out_since_s is None and pod.back_since_s is not None:
                pod.backoff = max(0, pod.backoff - (at_s - pod.back_since_s >= self.rules.interval_s - ROUNDING))

    def rest(self) -> Iterator[Ejection]:
        """Those still out."""
        for name, pod in zip(self.names, self.pods, strict=True):
            if pod.out_since_s is not None:
                yield Ejection(name, pod.out_since_s, None, pod.rule)

    @property
    def _longest_s(self) -> float:
        return max(MAX_EJECTION_S, self.rules.base_ejection_time_s)


def replay(answers: Answers, rules: Rules, *, first_sweep_s: float | None = None) -> Replay:
    """What a detector that saw all these answers would have done; a pod that is out is asked for nothing meanwhile.

    first_sweep_s: when the first sweep comes, seconds since the first call; after one interval where it is not given.
    """
    detector = _Detector(rules, [_Pod() for _ in answers.pods], answers.pods)
    sweep_s = rules.interval_s if first_sweep_s is None else first_sweep_s
    rates: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    skipped = spared = 0
    for at_s, number, kind in zip(answers.at_s.tolist(), answers.pod.tolist(), answers.kind.tolist(), strict=True):
        while sweep_s <= at_s:
            detector.let_back(sweep_s)
            _judge_shares(detector, rates, sweep_s)
            detector.forgive(sweep_s)
            rates.clear()
            sweep_s += rules.interval_s
        if detector.pods[number].out_since_s is not None:
            skipped, spared = skipped + 1, spared + (kind != GOOD)
            continue
        rates[number][0] += 1
        rates[number][1] += kind == GOOD
        detector.judge(number, kind, at_s)
    found = sorted([*detector.done, *detector.rest()], key=lambda each: (each.at_s, each.pod))
    return Replay(tuple(found), detector.prevented, skipped, spared)


def _judge_shares(detector: _Detector, seen: Mapping[int, list[int]], at_s: float) -> None:
    """Eject pods by their shares of good answers since the last sweep; `seen` holds answers and good ones of each."""
    # Pods that are out already are nobody's measure.
    inside = {pod: (asked, good) for pod, (asked, good) in sorted(seen.items()) if detector.pods[pod].out_since_s is None}
    for number, rule in shares_caught(detector.rules, inside):
        detector.eject(detector.pods[number], at_s, rule)


def shares_caught(rules: Rules, seen: Mapping[int, tuple[int, int]]) -> Iterator[tuple[int, str]]:
    """Pods that the rules on shares catch, and by which; `seen` are the answers, and the good ones, of an interval.

    >>> pods = {pod: (100, 50 if pod == 3 else 100) for pod in range(5)}
    >>> list(shares_caught(Rules(success_rate=SuccessRate()), pods))
    [(3, 'success_rate')]
    >>> list(shares_caught(Rules(failure_percentage=FailurePercentage(threshold=51)), pods))
    []
    """
    rate, percentage = rules.success_rate, rules.failure_percentage
    if rate is not None:
        shares = _busy(seen, rate.request_volume)
        if shares and len(shares) >= rate.minimum_hosts:
            every = np.array(list(shares.values()))
            limit = every.mean() - rate.stdev_factor * every.std() - ROUNDING
            yield from ((pod, "success_rate") for pod, share in shares.items() if share < limit)
    if percentage is not None:
        shares = _busy(seen, percentage.request_volume)
        if shares and len(shares) >= percentage.minimum_hosts:
            caught = (pod for pod, share in shares.items() if 100.0 - share >= percentage.threshold)
            yield from ((pod, "failure_percentage") for pod in caught)


def _busy(seen: Mapping[int, tuple[int, int]], volume: int) -> dict[int, float]:
    """Good answers of 100 of the pods with answers enough."""
    return {pod: 100.0 * good / asked for pod, (asked, good) in seen.items() if asked >= max(volume, 1)}
