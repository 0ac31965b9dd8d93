"""Steps of any length count the same calls in each hour, those that samples show, whatever restarts, fails, begins or ends."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshslo.telemetry.prometheus.api import Native, Steps
from meshslo.telemetry.prometheus.classic import Found, read_classic, read_counter
from meshslo.telemetry.prometheus.native import read_native
from meshslo.telemetry.prometheus.profile import Counter, Histogram, Profile
from meshslo.telemetry.pull.http import Server
from meshslo.telemetry.store.metrics import stepwise
from tests.support.recorded import History, Recorded, Value

T0 = 1_767_225_600
HOURS = 3
HISTOGRAM = Histogram(metric="call_seconds", unit="s", phase="total")
COUNTER = Counter(metric="calls_total")
PROFILE = Profile(name="test", labels={"callee": ("service",)}, histograms=(HISTOGRAM,), counters=(COUNTER,))
READERS = {
    "classic": lambda api, steps: read_classic(api, Found(PROFILE, HISTOGRAM, "call_seconds"), steps),
    "native": lambda api, steps: read_native(api, Found(PROFILE, HISTOGRAM, "call_seconds", native=True), steps),
    "counter": lambda api, steps: read_counter(api, Found(PROFILE, COUNTER, "calls_total"), steps),
}


@dataclass(frozen=True)
class Scrape:
    """What a process shows at a time: of each of its services the calls below a second and above, since it began."""

    at: int
    counts: dict[str, tuple[int, int]]


Life = list[Scrape]
"""The scrapes of an instance that were answered; between two of them it may have begun anew."""


Counts = dict[str, tuple[int, int]]


@st.composite
def lives(draw: st.DrawFn, apart_s: int = 60) -> Life:
    """An instance that is scraped from some time on, with gaps, restarts and services that are called later.

    What is called after a restart counts up from less than before it: nothing else tells that there was one.
    """
    at = T0 + draw(st.integers(-20, 50)) * apart_s + draw(st.integers(0, apart_s - 1))
    calls = st.dictionaries(st.sampled_from("xy"), st.tuples(st.integers(0, 9), st.integers(1, 9)), max_size=2)
    counts: Counts = draw(calls)
    life, shown = [Scrape(at, counts)], dict(counts)
    for _ in range(draw(st.integers(0, 9))):
        event = draw(st.sampled_from(["steady", "steady", "gap", "restart", "long"]))
        for _ in range(draw(st.integers(1, 25)) if event == "long" else 1):
            # No gap across the beginning of the window: how far back is looked there depends on the step.
            at += draw(st.integers(2, 130)) * 60 if event == "gap" and at > T0 else apart_s
            counts = _later({} if event == "restart" else counts, draw(calls), shown)
            shown.update(counts)
            life.append(Scrape(at, counts))
    return life


def _later(counts: Counts, called: Counts, shown: Counts) -> Counts:
    """`counts` and what was called; a service that was shown before comes back below that, or not yet."""
    now: Counts = {}
    for name in sorted({*counts, *called}):
        (fast, slow), (more_fast, more_slow) = counts.get(name, (0, 0)), called.get(name, (0, 0))
        both = (fast + more_fast, slow + more_slow)
        if name in counts or name not in shown or sum(both) < sum(shown[name]):
            now[name] = both
    return now


def truth(fleet: Sequence[Life]) -> dict[tuple[str, float, int], float]:
    """Calls by service, upper edge and hour of the window, from one sample to the next."""
    calls: defaultdict[tuple[str, float, int], float] = defaultdict(float)
    for life in fleet:
        last: Counts = dict(life[0].counts)
        for scrape in life[1:]:
            hour = (scrape.at - T0 - 1) // 3600
            for service, (fast, slow) in scrape.counts.items():
                before = last.get(service, (0, 0))
                fell = fast + slow < sum(before) or fast < before[0]
                calls[f"unknown>{service}", 1.0, hour] += fast - (0 if fell else before[0])
                calls[f"unknown>{service}", np.inf, hour] += slow - (0 if fell else before[1])
                last[service] = (fast, slow)
    return {key: count for key, count in calls.items() if count and 0 <= key[2] < HOURS}


def recorded(fleet: Sequence[Life], kind: str, *, left_open: bool, stale: bool) -> Recorded:
    """A server that scraped the fleet; with `stale` it marks the end of a series when it is not shown any more."""
    histories = []
    for number, life in enumerate(fleet):
        own = {"job": "mesh", "instance": str(number)}
        histories.append(History({"__name__": "up", **own}, tuple((one.at, 1.0) for one in life)))
        for service in sorted({name for one in life for name in one.counts}):
            shown = [(one.at, one.counts.get(service)) for one in life]
            for told, values in _series(kind, shown):
                ended = [(at, value) for at, value in values if value is not None or stale]
                histories.append(History({**own, "service": service, **told}, tuple(ended)))
    return Recorded(Server("http://127.0.0.1:1"), histories=tuple(histories), left_open=left_open)


Shown = list[tuple[int, tuple[int, int] | None]]
Told = tuple[dict[str, str], list[tuple[float, Value]]]


def _series(kind: str, shown: Shown) -> Iterator[Told]:
    """Labels and samples of what a service's calls are exported as."""

    def each(value: Callable[[int, int], Value]) -> list[tuple[float, Value]]:
        return [(float(at), None if counts is None else value(*counts)) for at, counts in shown]

    if kind == "counter":
        yield {"__name__": "calls_total"}, each(lambda fast, slow: float(fast + slow))
    elif kind == "native":
        yield {"__name__": "call_seconds"}, each(_native)
    else:
        yield {"__name__": "call_seconds_bucket", "le": "1"}, each(lambda fast, _: float(fast))
        yield {"__name__": "call_seconds_bucket", "le": "+Inf"}, each(lambda fast, slow: float(fast + slow))
        yield {"__name__": "call_seconds_count"}, each(lambda fast, slow: float(fast + slow))
        yield {"__name__": "call_seconds_sum"}, each(lambda fast, slow: 0.5 * fast + 2.0 * slow)


def _native(fast: int, slow: int) -> Native:
    buckets = [(0, "0.5", "1", str(fast)), (0, "1", "2", str(slow))]
    return Native(str(fast + slow), str(0.5 * fast + 2.0 * slow), [bucket for bucket in buckets if bucket[3] != "0"])


def by_hour(rows: pl.DataFrame) -> dict[tuple[str, str, int], float]:
    """Calls (or seconds, of a sum) by hop, upper edge and hour of the window."""
    hour = (pl.col("start").dt.epoch("s") - T0) // 3600
    what = pl.when(pl.col("measure") == "bucket").then(pl.col("high_s").cast(pl.String)).otherwise("measure")
    counted = stepwise(rows.lazy()).group_by("hop", what.alias("what"), hour.alias("hour")).agg(pl.col("value").sum())
    return {(hop, what, hour): value for hop, what, hour, value in counted.collect().iter_rows()}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("step_s", [60, 900, 3600])
@settings(deadline=None, max_examples=25)
@given(fleet=st.lists(lives(), min_size=1, max_size=2), left_open=st.booleans(), stale=st.booleans())
def test_steps_of_any_length_count_what_samples_show(
    kind: str, step_s: int, fleet: list[Life], left_open: bool, stale: bool
) -> None:
    api = recorded(fleet, kind, left_open=left_open, stale=stale)
    found = by_hour(READERS[kind](api, Steps(T0, step_s, HOURS * 3600 // step_s)).rows)
    assert found == expected(kind, truth(fleet))


def expected(kind: str, calls: dict[tuple[str, float, int], float]) -> dict[tuple[str, str, int], float]:
    """What the metric tells of these calls."""
    top = "2.0" if kind == "native" else "inf"
    told: defaultdict[tuple[str, str, int], float] = defaultdict(float)
    for (hop, edge, hour), count in calls.items():
        if kind == "counter":
            told[hop, "calls", hour] += count
        else:
            told[hop, "1.0" if edge == 1.0 else top, hour] += count
            told[hop, "sum_s", hour] += count * (0.5 if edge == 1.0 else 2.0)
    return dict(told)
