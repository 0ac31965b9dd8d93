"""Envoy's outlier detection over answers that were seen: whom it ejects, when, and for how long.

Source: Envoy 1.40, source/common/upstream/outlier_detection_impl.cc. Failures in a row are counted by pod; at the limit the pod
is ejected where one more may be out, and the count begins anew either way. Each sweep lets those back whose time is over: the
first time after `base_ejection_time`, longer by as much each time it comes again, shorter by one such step for each sweep that
finds it back for an interval or more (whether the very next one does is a matter of a millisecond in Envoy's timer).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from .answers import GATEWAY_FAILURE, GOOD, Answers

MAX_EJECTION_S: Final = 300.0
"""Envoy's max_ejection_time, or the base where that is longer."""


@dataclass(frozen=True)
class Rules:
    """Settings of the detector; a limit of None is off. The percentage is of all pods, the one to be ejected included."""

    consecutive_5xx: int | None = 5
    consecutive_gateway_failures: int | None = None
    interval_s: float = 10.0
    base_ejection_time_s: float = 30.0
    max_ejection_percent: float = 10.0
    success_rate_stdev_factor: float | None = None
    """Pods whose share of good answers in a sweep's interval is so many deviations below the mean are ejected."""
    success_rate_minimum_hosts: int = 5
    success_rate_request_volume: int = 100


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

    def sweep(self, at_s: float) -> None:
        """Let back in those whose time is over."""
        for name, pod in zip(self.names, self.pods, strict=True):
            if pod.out_since_s is None:
                rested = pod.back_since_s is not None and at_s - pod.back_since_s >= self.rules.interval_s
                pod.backoff = max(0, pod.backoff - rested)
                continue
            if at_s - pod.out_since_s >= min(pod.backoff * self.rules.base_ejection_time_s, self._longest_s):
                self.done.append(Ejection(name, pod.out_since_s, at_s, pod.rule))
                pod.out_since_s, pod.back_since_s = None, at_s
                pod.failures = pod.gateway_failures = 0

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
            detector.sweep(sweep_s)
            _by_success_rate(detector, rates, sweep_s)
            sweep_s += rules.interval_s
        if detector.pods[number].out_since_s is not None:
            skipped, spared = skipped + 1, spared + (kind != GOOD)
            continue
        rates[number][0] += 1
        rates[number][1] += kind == GOOD
        detector.judge(number, kind, at_s)
    found = sorted([*detector.done, *detector.rest()], key=lambda each: (each.at_s, each.pod))
    return Replay(tuple(found), detector.prevented, skipped, spared)


def _by_success_rate(detector: _Detector, rates: dict[int, list[int]], at_s: float) -> None:
    """Eject pods whose share of good answers since the last sweep lies too far below the others'; then count anew."""
    rules = detector.rules
    busy = {n: good / asked for n, (asked, good) in sorted(rates.items()) if asked >= rules.success_rate_request_volume}
    rates.clear()
    if rules.success_rate_stdev_factor is None or len(busy) < rules.success_rate_minimum_hosts:
        return
    shares = np.array(list(busy.values()))
    limit = shares.mean() - rules.success_rate_stdev_factor * shares.std()
    for number, share in busy.items():
        if share < limit:
            detector.eject(detector.pods[number], at_s, "success_rate")
