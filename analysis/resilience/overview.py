"""Loads, pods and zones from what was observed, by the same parts that the recommenders of limits, ejection and zones use."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from meshslo.analysis.ejection.answers import Answers
from meshslo.analysis.recommend.breakers import CallBreaker
from meshslo.analysis.recommend.limits import Case, limit_of
from meshslo.analysis.recommend.observed import Observed
from meshslo.analysis.recommend.outliers import Fleet, fleets
from meshslo.analysis.recommend.rolled import loads_from_series
from meshslo.analysis.recommend.rolled_limits import RolledBreaker
from meshslo.analysis.zones import zone_matrix, zone_pairs

from .result import HopLimit, Level, Load, Out, Pod, Resilience, ZonePair

NO_ZONES: Final = "no call names the zones of both sides (cloud.availability_zone): collect them from callers and callees"


def resilience(observed: Observed) -> Resilience:
    """What was seen of loads, pods and zones; the ejections are those of the detector that `recommend outliers` proposes."""
    loads = tuple(_loads(observed))
    every = fleets(observed)
    pairs = zone_pairs(observed.calls)
    config = observed.config
    matrix = zone_matrix(pairs, config.prices, observed.window_s, config.objectives.confidence)
    unknown = [f"{fleet.target.hop}: {why}" for fleet in every if (why := fleet.unknown()) is not None]
    unknown += [f"{hop.hop}: {hop.reason}" for load in loads for hop in load.limits if hop.limit is None]
    return Resilience(
        loads,
        tuple(pod for fleet in every for pod in _pods(fleet)),
        tuple(out for fleet in every for out in _ejections(fleet)),
        tuple(ZonePair(**row) for row in matrix.iter_rows(named=True)),
        (*unknown, *([NO_ZONES] if pairs.is_empty() and loads else [])),
    )


def _loads(observed: Observed) -> Iterator[Load]:
    by_calls, rolled = observed.loads, loads_from_series(observed.series)
    for callee in sorted({*by_calls, *rolled}):
        if callee in by_calls:
            yield _swept(callee, CallBreaker(observed, by_calls[callee], rolled.get(callee)))
        else:
            yield _metered(callee, RolledBreaker(observed, rolled[callee]))


def _swept(callee: str, run: CallBreaker) -> Load:
    load = run.load
    return Load(
        callee,
        load.rows.height,
        load.in_progress.mean,
        load.in_progress.peak,
        load.waits,
        "calls",
        run.knee,
        run.peak,
        run.bearing,
        tuple(Level(*row) for row in load.levels()),
        tuple(map(_limit, run.cases())),
    )


def _metered(callee: str, run: RolledBreaker) -> Load:
    load, cases = run.load, list(run.cases())
    return Load(
        callee,
        load.calls,
        load.mean,
        load.peak,
        load.waits,
        "metrics",
        run.knee,
        None,
        cases[0].bearing,
        tuple(Level(*row) for row in load.levels()),
        tuple(map(_limit, cases)),
    )


def _limit(case: Case) -> HopLimit:
    limit = None if case.bearing is None else limit_of(case.bearing, case.part, case.proxies)
    return HopLimit(case.target.hop, limit, case.reason)


def _pods(fleet: Fleet) -> Iterator[Pod]:
    answers: Answers = fleet.answers
    sick, slow = {each.pod for each in fleet.broken}, {each.pod: each for each in fleet.slow}
    for number, name in enumerate(answers.pods):
        mine, late = answers.of(number), slow.get(name)
        ratio = (None, None, None) if late is None else (late.ratio, late.low, late.high)
        yield Pod(fleet.target.hop, name, len(mine.at_s), int(mine.failed.sum()), name in sick, *ratio)


def _ejections(fleet: Fleet) -> Iterator[Out]:
    """None where no detector is proposed."""
    if fleet.unknown() is not None:
        return
    began = fleet.calls["start"].min()
    assert isinstance(began, datetime)  # noqa: S101 - a fleet with answers has calls
    for out in fleet.choice.outcome.ejections:
        end = None if out.until_s is None else began + timedelta(seconds=out.until_s)
        yield Out(fleet.target.hop, out.pod, began + timedelta(seconds=out.at_s), end, out.rule)
