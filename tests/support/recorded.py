"""Prometheus's answers worked out from samples in memory: the few expressions that the reader asks, by their definitions."""

import itertools
import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from operator import itemgetter

import msgspec

from meshslo.telemetry.prometheus.api import Native, Prometheus, Sample, Series, Steps

LOOKBACK_S = 300
"""How long a sample is the present value, unless a stale marker comes."""

Value = float | Native | None
"""None is a stale marker."""


Points = list[tuple[float, float | Native]]


@dataclass(frozen=True)
class History:
    """A series and its samples, the oldest first."""

    labels: Mapping[str, str]
    samples: tuple[tuple[float, Value], ...]

    @cached_property
    def scraped(self) -> Points:
        """Its samples without stale markers."""
        return [(when, value) for when, value in self.samples if value is not None]

    def present(self, at: float) -> list[float | Native]:
        """The value at a time, where there is one."""
        place = bisect_right(self.samples, at, key=itemgetter(0)) - 1
        when, value = self.samples[place] if place >= 0 else (at, None)
        return [] if value is None or when <= at - LOOKBACK_S else [value]

    @cache  # noqa: B019 - a few histories of a test
    def looked_at(self, apart_s: int) -> Points:
        """Its values at multiples of so many seconds, as a subquery sees them."""
        first, last = int(self.samples[0][0] // apart_s), int((self.samples[-1][0] + LOOKBACK_S) // apart_s) + 1
        looks = [float(apart_s * place) for place in range(first, last + 1)]
        return [(look, value) for look in looks for value in self.present(look)]

    def __hash__(self) -> int:
        return id(self)


@dataclass(frozen=True)
class Recorded(Prometheus):
    """A server that holds `histories`; a range of time is open on the left since Prometheus 3, closed before."""

    histories: tuple[History, ...] = ()
    left_open: bool = True

    def range(self, query: str, steps: Steps) -> list[Series]:
        times = [float(steps.since_s + steps.step_s * place) for place in range(steps.count + 1)]
        said = re.fullmatch(r"resets\((.+)\) > 0 or min_over_time\(.+\) < last_over_time\((.+)\)", query)
        over = re.fullmatch(r"(last|max|count)_over_time\((.+?)\)( == 1)?", query)
        answer: list[Series] = []
        for history in self._chosen(query):
            if said:
                points: Points = [(at, 1.0) for at in times if self._fell(history, said[1], said[2], at)]
            elif over:
                points = [(at, value) for at in times for value in self._over(history, over[1], over[2], at)]
            else:
                points = [(at, value) for at in times for value in history.present(at)]
            if points:
                answer.append(_series(history, points))
        return answer

    def raw(self, selector: str, at_s: int, length_s: int) -> list[Series]:
        found = [(one, self._window(one, f"{selector}[{length_s}s]", at_s)) for one in self._chosen(selector)]
        return [_series(history, points) for history, points in found if points]

    def at(self, query: str, at_s: int) -> list[Sample]:
        return [
            Sample(dict(history.labels), (at_s, str(value)))
            for history in self._chosen(query)
            for value in self._over(history, "last", re.sub(r"^last_over_time\(|\)$", "", query), at_s)
        ]

    def _chosen(self, query: str) -> Iterator[History]:
        found = re.search(r"([a-z_]+)(?:\{(.*?)\})?\)?(?:\[|$)", query)
        assert found, query
        wanted = {"__name__": found[1], **dict(re.findall(r'(\w+)=~?"(.*?)"', found[2] or ""))}
        for one in self.histories:
            if all(re.fullmatch(value, one.labels.get(label, "")) for label, value in wanted.items()):
                yield one

    def _window(self, history: History, over: str, at: float) -> Points:
        found = re.fullmatch(r".+\[(\d+)s(?::(\d+)s)?\](?: offset (\d+)s)?", over)
        assert found, over
        end = at - float(found[3] or 0)
        begin = end - float(found[1])
        there = history.looked_at(int(found[2])) if found[2] else history.scraped
        first = (bisect_right if self.left_open else bisect_left)(there, begin, key=itemgetter(0))
        return there[first : bisect_right(there, end, key=itemgetter(0))]

    def _over(self, history: History, function: str, over: str, at: float) -> list[float]:
        values = [_number(value) for _, value in self._window(history, over, at)]
        told = {"last": lambda: values[-1], "max": lambda: max(values), "count": lambda: float(len(values))}
        return [told[function]()] if values else []

    def _fell(self, history: History, within: str, before: str, at: float) -> bool:
        values = [_number(value) for _, value in self._window(history, within, at)]
        earlier = [_number(value) for _, value in self._window(history, before, at)]
        resets = any(now < last for last, now in itertools.pairwise(values))
        return resets or bool(values and earlier and min(values) < earlier[-1])


def _number(value: float | Native) -> float:
    return float(value.count) if isinstance(value, Native) else value


def _series(history: History, points: Points) -> Series:
    labels = dict(history.labels)
    native = [(at, value) for at, value in points if isinstance(value, Native)]
    if native:
        return Series(labels, histograms=native)
    return Series(labels, msgspec.Raw(json.dumps([[at, str(value)] for at, value in points]).encode()))
