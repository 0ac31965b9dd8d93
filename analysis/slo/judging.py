"""Each call against an objective: it kept it, broke it, nobody knows, or it was not asked.

sli            kept                     broken                          unknown                not asked
a phase        seen within threshold    seen, or cut, later than it     cut before it          failed, rejected, not measured
success        ok                       error, timeout, rejected        -                      cancelled: the caller left
goodput        kept all                 broke any                       kept or unknown        was not asked any

A call cut after 1 s says nothing about a threshold of 2 s, and does not count as good: that is how tools come to 100 %. Nor
does one that ended at a hidden deadline (`analysis.deadlines`), as far as `total` is asked; for the rest it ended as was told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from typing import Final

import polars as pl

from meshslo.analysis.deadlines import Pile, cut_calls
from meshslo.analysis.phases import BY_WORDS, Timed, timed
from meshslo.telemetry.vocabulary import CENSORED, VANTAGES, Phase

from .objective import Objective

MINUTE: Final = "1m"
VERDICTS: Final = ("kept", "broken", "unknown")
TOLD: Final = "told"
"""How a call ended as was told; `outcome` is `timeout` where it ended at a hidden deadline."""
_AS_TOLD: Final = BY_WORDS._replace(ok=pl.col(TOLD) == "ok", cut=pl.col(TOLD).is_in(sorted(CENSORED)))
WEIGHTS: Final = tuple(f"{verdict}_weight" for verdict in VERDICTS)


@dataclass(frozen=True)
class Verdict:
    """Expressions over call rows, never null; at most one of them holds of a call."""

    kept: pl.Expr
    broken: pl.Expr
    unknown: pl.Expr

    @property
    def asked(self) -> pl.Expr:
        """Whether the objective is about the call at all."""
        return self.kept | self.broken | self.unknown


@dataclass(frozen=True, eq=False)
class Judged:
    """The calls of an objective by minute, seen from one vantage.

    minutes: start; kept, broken, unknown (calls); the same with `_weight` (sums of weights); weight_sq of all three; others
    (calls that were not asked). Only minutes with calls, in order. vantage is None where there are no calls.
    """

    minutes: pl.DataFrame
    vantage: str | None

    def between(self, since: datetime, until: datetime) -> pl.DataFrame:
        """The minutes that begin in [since, until)."""
        return self.minutes.filter(pl.col("start") >= since, pl.col("start") < until)


def verdict(objective: Objective, named: Mapping[str, Objective]) -> Verdict:
    """How a call is judged; `named` holds the objectives that a goodput is made of."""
    if objective.sli == "goodput":
        return _of_all([verdict(named[name], named) for name in objective.all_of])
    if objective.phase is None or objective.threshold_s is None:
        return _of_success()
    return _within(objective.phase, objective.threshold_s)


def _of_success() -> Verdict:
    outcome = pl.col(TOLD)
    return Verdict(outcome == "ok", outcome.is_in(["error", "timeout", "rejected"]), pl.lit(value=False))


def _within(phase: Phase, threshold_s: float) -> Verdict:
    value_s, event, censored = _timed(phase)
    # What was cut lasts longer than was seen of it: at the threshold it is beyond.
    broken = (event & (value_s > threshold_s)) | (censored & (value_s >= threshold_s))
    return Verdict(
        (event & (value_s <= threshold_s)).fill_null(value=False),
        broken.fill_null(value=False),
        (censored & (value_s < threshold_s)).fill_null(value=False),
    )


def _timed(phase: Phase) -> Timed:
    return timed(phase, BY_WORDS if phase == "total" else _AS_TOLD)


def _of_all(members: list[Verdict]) -> Verdict:
    """A member that is not about the call (no stream, failed) is no obstacle; one that is broken decides."""
    broken = reduce(pl.Expr.or_, [member.broken for member in members])
    unknown = reduce(pl.Expr.or_, [member.unknown for member in members]) & ~broken
    asked = reduce(pl.Expr.or_, [member.asked for member in members])
    return Verdict(asked & ~broken & ~unknown, broken, unknown)


def chosen(calls: pl.LazyFrame, objective: Objective) -> pl.LazyFrame:
    """The calls that the objective selects, from all vantages."""
    return calls.filter(pl.col(key) == value for key, value in objective.selection.items())


def with_hidden_cuts(calls: pl.LazyFrame, piles: tuple[Pile, ...]) -> pl.LazyFrame:
    """Call rows as the others here take them: how each was told to end, and those of `piles` as cut."""
    return cut_calls(calls.with_columns(pl.col("outcome").alias(TOLD)), piles)


def as_timed(calls: pl.LazyFrame, phase: Phase) -> pl.LazyFrame:
    """The same with the outcome that decides how `phase` of a call counts."""
    return calls if phase == "total" else calls.with_columns(pl.col(TOLD).alias("outcome"))


def judge_each(
    calls: pl.LazyFrame, objective: Objective, named: Mapping[str, Objective], each: Sequence[str]
) -> dict[tuple[str, ...], Judged]:
    """Judge the calls of `objective`, of the outermost vantage that shows it unless the objective names one.

    Apart for each combination of values of the keys `each`; "" stands for a call without one. All in one pass.
    """
    counted = _counted(calls, objective, named, each)
    vantage = _outermost(counted, objective)
    seen = counted.filter(pl.col("vantage") == (vantage or "")).drop("vantage", "shown").sort(*each, "start")
    if not each:
        return {(): Judged(seen, vantage)}
    parts = seen.partition_by(each, as_dict=True, include_key=False)
    return {tuple(map(str, group)): Judged(minutes, vantage) for group, minutes in parts.items()}


def _counted(calls: pl.LazyFrame, objective: Objective, named: Mapping[str, Objective], each: Sequence[str]) -> pl.DataFrame:
    says = verdict(objective, named)
    parts = dict(zip(VERDICTS, (says.kept, says.broken, says.unknown), strict=True))
    rows = chosen(calls, objective).select(
        pl.col("start").dt.truncate(MINUTE),
        pl.col("vantage").cast(pl.String),
        *(pl.col(key).cast(pl.String).fill_null("") for key in each),
        pl.col("weight").fill_null(1.0),
        _is_shown(objective, named).alias("shown"),
        *(expression.alias(name) for name, expression in parts.items()),
    )
    grouped = rows.group_by("vantage", *each, "start").agg(
        *(pl.col(name).sum().cast(pl.Int64) for name in VERDICTS),
        *(pl.col("weight").filter(name).sum().alias(f"{name}_weight") for name in VERDICTS),
        (pl.col("weight") ** 2).filter(pl.any_horizontal(VERDICTS)).sum().alias("weight_sq"),
        (~pl.any_horizontal(VERDICTS)).sum().cast(pl.Int64).alias("others"),
        pl.col("shown").any(),
    )
    return grouped.collect(engine="streaming")


def _is_shown(objective: Objective, named: Mapping[str, Objective]) -> pl.Expr:
    """Whether a call shows that its vantage measures what is asked: of a phase, that it was seen to its end."""
    members = [named[name] for name in objective.all_of] or [objective]
    events = [_timed(member.phase).event for member in members if member.phase]
    return reduce(pl.Expr.and_, events, pl.lit(value=True))


def _outermost(counted: pl.DataFrame, objective: Objective) -> str | None:
    """The vantage that is asked; one that never shows the phase is taken only where none does and its calls were all cut."""
    by_vantage = counted.group_by("vantage").agg(pl.col("shown").any(), pl.col("kept", "broken", "unknown", "others").sum())
    found = {row["vantage"]: row for row in by_vantage.iter_rows(named=True)}
    order = [objective.vantage] if objective.vantage else list(VANTAGES)
    there = [vantage for vantage in order if vantage in found]
    shows = [vantage for vantage in there if found[vantage]["shown"]]
    return next(iter(shows or there), None)


def start_of(at: datetime, seconds: int) -> datetime:
    """The moment `seconds` before `at`."""
    return at - timedelta(seconds=seconds)
