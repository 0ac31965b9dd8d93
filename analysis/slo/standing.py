"""How an objective stands: the share of calls that kept it, what is left of its error budget, how fast it burns.

Sources: The Site Reliability Workbook, chapter 5 (budget, burn rate); Wilson 1927 (interval); Kaplan and Meier 1958 (calls
cut before the threshold); Peterson 1976 (bounds: they all would have kept it, or none).
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import polars as pl

from meshslo.analysis.bursts import Minutes, largest_effect
from meshslo.analysis.interval import wilson
from meshslo.analysis.quantile import Interval

from .judging import VERDICTS, Judged, start_of
from .objective import Objective
from .windows import FEWEST_FAILURES, PACE_S, BurnWindow, Severity, burn_windows, calls_for_one, window_text

Status = Literal["met", "missed", "undecided", "no_data"]
"""By what was counted: met or missed whatever unknown calls would have done; undecided where they would decide; no calls."""


_BROKEN: Final = pl.col("broken")
_DECIDED: Final = pl.col("kept") + pl.col("broken")


@dataclass(frozen=True)
class Counts:
    """Calls of some window by verdict, and their weights; `effective` calls are as precise as an unweighted sample."""

    kept: int
    broken: int
    unknown: int
    others: int
    kept_weight: float
    broken_weight: float
    unknown_weight: float
    weight_sq: float
    design: float = 1.0
    """By how much fewer calls count since those of a minute, hour or day go together; not asked of burn rates."""

    @classmethod
    def of(cls, minutes: pl.DataFrame) -> "Counts":
        """The minutes added up."""
        return cls(**minutes.select(pl.exclude("start").sum()).row(0, named=True))

    def careful(self, minutes: pl.DataFrame) -> "Counts":
        """These, which `minutes` add up to, counting for as many fewer as their broken calls come in bursts."""
        decided = minutes.filter(_DECIDED > 0)
        broken, calls = (decided.select(each.cast(pl.Float64)).to_series().to_numpy() for each in (_BROKEN, _DECIDED))
        minute = (decided["start"].dt.epoch("s") // 60).to_numpy()
        return replace(self, design=largest_effect(Minutes(calls, broken, minute)))

    @property
    def calls(self) -> int:
        """Calls that the objective is about."""
        return self.kept + self.broken + self.unknown

    @property
    def weight(self) -> float:
        """Their weight."""
        return self.kept_weight + self.broken_weight + self.unknown_weight

    @property
    def effective(self) -> float:
        """Calls that an unweighted sample of independent calls of the same precision has (Kish 1965)."""
        return self.weight**2 / self.weight_sq / self.design if self.weight_sq > 0.0 else 0.0

    @property
    def least(self) -> float:
        """The share that kept it if no unknown call did."""
        return self.kept_weight / self.weight

    @property
    def most(self) -> float:
        """The share that kept it if every unknown call did."""
        return (self.kept_weight + self.unknown_weight) / self.weight

    @property
    def decided(self) -> float:
        """The share that kept it of the calls of which it is known."""
        known = self.kept_weight + self.broken_weight
        return self.kept_weight / known if known > 0.0 else self.least

    def attained(self, estimate: float | None, confidence: float) -> Interval:
        """The share that kept it: `estimate` (of the decided calls where None), within Wilson's limits of both bounds."""
        low, high = (wilson(share * self.effective, self.effective, confidence) for share in (self.least, self.most))
        value = self.decided if estimate is None else min(max(estimate, self.least), self.most)
        return Interval(value, low.low, high.high)


@dataclass(frozen=True)
class Burn:
    """A burn-rate alert as the calls stand: it fires where both rates exceed its factor, and more than a call or two failed.

    long, short: burn rates, 1 spends the budget in exactly the objective's window; None where there were no calls.
    needs_calls: with fewer in the long window a single failure would exceed the factor.
    """

    window: BurnWindow
    factor: float
    long: float | None
    short: float | None
    failures: int
    needs_calls: int

    @property
    def severity(self) -> Severity:
        """What the alert does."""
        return self.window.severity

    @property
    def fires(self) -> bool:
        """Whether the alert fires now."""
        fast = self.long is not None and self.short is not None and min(self.long, self.short) > self.factor
        return fast and self.failures >= FEWEST_FAILURES

    def to_dict(self) -> dict[str, Any]:
        """The alert as JSON has it."""
        return {
            "severity": self.severity,
            "long": window_text(self.window.long_s),
            "short": window_text(self.window.short_s),
            "factor": self.factor,
            "long_rate": self.long,
            "short_rate": self.short,
            "failures": self.failures,
            "needs_calls": self.needs_calls,
            "fires": self.fires,
        }


@dataclass(frozen=True)
class Standing:
    """Where an objective stands at a moment.

    attained: share of calls that kept it. budget_left: 1 is all of it, 0 none, below 0 overspent. Both None without calls.
    is_sure: the interval of `attained` lies wholly on the side that `status` says. exhausted_in_s: until the budget is spent
    at the pace of the last hours, None where nothing burns; calls that leave the window meanwhile are not counted on.
    first: the first minute with calls in the window; later than the window's beginning, it tells how much of it is seen.
    """

    objective: Objective
    status: Status
    counts: Counts
    vantage: str | None
    start: datetime
    end: datetime
    first: datetime | None = None
    attained: Interval | None = None
    budget_left: Interval | None = None
    burns: tuple[Burn, ...] = ()
    exhausted_in_s: float | None = None

    @property
    def is_sure(self) -> bool:
        """Whether the calls suffice to tell the true share from the target, not only the counted one."""
        if self.attained is None:
            return False
        target = self.objective.target
        return {"met": self.attained.low >= target, "missed": self.attained.high < target}.get(self.status, False)

    @property
    def fires(self) -> tuple[Burn, ...]:
        """The burn-rate alerts that fire now."""
        return tuple(burn for burn in self.burns if burn.fires)


def stand(
    judged: Judged, objective: Objective, at: datetime, *, estimate: float | None = None, confidence: float = 0.95
) -> Standing:
    """How `objective` stands at `at`; `estimate` is the survival estimate of its share, where calls were cut before it."""
    start = start_of(at, objective.window_s)
    minutes = judged.between(start, at)
    counts = Counts.of(minutes).careful(minutes)
    if counts.weight <= 0.0:
        return Standing(objective, "no_data", counts, judged.vantage, start, at)
    attained = counts.attained(estimate, confidence)
    left = Interval(*(1.0 - (1.0 - share) / objective.budget for share in (attained.estimate, attained.low, attained.high)))
    return Standing(
        objective,
        _status(counts, objective.target),
        counts,
        judged.vantage,
        start,
        at,
        first=minutes.filter(pl.any_horizontal(pl.col(VERDICTS) > 0))["start"].min(),  # type: ignore[arg-type]  # datetimes
        attained=attained,
        budget_left=left,
        burns=tuple(_burn(judged, objective, window, at) for window in burn_windows(objective.window_s)),
        exhausted_in_s=_exhausted_in_s(judged, objective, left.estimate, at),
    )


def _status(counts: Counts, target: float) -> Status:
    # Shares are quotients of sums: at the target they may be off by a rounding.
    slack = 1e-12
    if counts.least >= target - slack:
        return "met"
    return "missed" if counts.most < target - slack else "undecided"


def _burn(judged: Judged, objective: Objective, window: BurnWindow, at: datetime) -> Burn:
    factor = window.factor(objective.window_s)
    long = Counts.of(judged.between(start_of(at, window.long_s), at))
    short = Counts.of(judged.between(start_of(at, window.short_s), at))
    return Burn(
        window,
        factor,
        _rate(long, objective.budget),
        _rate(short, objective.budget),
        long.broken,
        calls_for_one(factor, objective.budget),
    )


def _rate(counts: Counts, budget: float) -> float | None:
    """How fast the budget burns: the share of broken calls of the decided ones over the share that may break."""
    return None if counts.kept + counts.broken == 0 else (1.0 - counts.decided) / budget


def _exhausted_in_s(judged: Judged, objective: Objective, left: float, at: datetime) -> float | None:
    if left <= 0.0:
        return 0.0
    rate = _rate(Counts.of(judged.between(start_of(at, PACE_S), at)), objective.budget)
    return None if not rate else left * timedelta(seconds=objective.window_s).total_seconds() / rate
