"""Promote, hold or roll back: what the comparison of a candidate with its baseline says so far, safe to ask at any time."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
import polars as pl

from meshslo.telemetry.errors import BadInputError

from .betting import Between, difference, quantile_ranks
from .course import Course, course
from .pairs import Measure, Pairs, measures, pair, with_kinds

SCHEMA: Final = "meshslo.canary/1"

Verdict = Literal["promote", "hold", "roll_back"]
Standing = Literal["within", "worse", "open"]
"""Surely within its margin; surely worse than the baseline, and not surely within; neither yet."""

UNFINISHED: Final = 0.99
"""Calls that began so recently that this share of calls takes longer are left out: slow ones among them have not ended yet."""

SLACK: Final = 1.3
"""How much more than the least number of calls an interval for every look needs."""


@dataclass(frozen=True)
class CanarySettings:
    """What a candidate has to keep.

    failed_margin, slow_margin: by how much its share of failed calls, and of calls slower than the baseline's `quantile`, may
    exceed the baseline's. confidence: that of the verdict, all measures and looks together. weights: the steps of the rollout.
    """

    failed_margin: float = 0.01
    slow_margin: float = 0.05
    quantile: float = 0.95
    confidence: float = 0.95
    weights: tuple[int, ...] = (1, 5, 10, 25, 50, 100)

    def margin(self, measure: Measure) -> float:
        """The margin of a measure."""
        return self.failed_margin if measure.seconds is None else self.slow_margin


@dataclass(frozen=True)
class Duration:
    """A quantile of one side in seconds, and between what it lies at every look; None where an end is open."""

    value_s: float | None
    low_s: float | None
    high_s: float | None


@dataclass(frozen=True)
class Judged:
    """One measure: candidate minus baseline as a share of calls, with its limits; and the quantile of each side."""

    name: str
    standing: Standing
    difference: float
    low: float
    high: float
    margin: float
    pairs: int
    needs_calls: int | None = None
    baseline: Duration | None = None
    candidate: Duration | None = None


@dataclass(frozen=True)
class Canary:
    """The verdict, and what it rests on. needs_calls: about how many more of the candidate's calls decide, at this weight."""

    verdict: Verdict
    weight: int
    next_weight: int
    baseline_calls: int
    candidate_calls: int
    reason: str
    needs_calls: int | None
    callees: tuple[str, ...]
    measures: tuple[Judged, ...]
    courses: tuple[Course, ...] = ()
    """How the evidence of each measure grew; not in the JSON."""

    @property
    def frame(self) -> pl.DataFrame:
        """One row a measure: its standing, the difference with its limits and margin, each side's quantile with its own."""
        return pl.DataFrame([_row(each) for each in self.measures], infer_schema_length=None)

    def to_json(self) -> str:
        """The JSON that `meshslo canary --output json` prints."""
        told = {name: value for name, value in asdict(self).items() if name != "courses"}
        return json.dumps({"schema": SCHEMA, **told}, indent=2)


def _row(each: Judged) -> dict[str, Any]:
    plain = {name: value for name, value in vars(each).items() if name not in ("baseline", "candidate")}
    sides = {"baseline": each.baseline, "candidate": each.candidate}
    ends = Duration.__annotations__
    return plain | {f"{name}_{end}": getattr(side, end, None) for name, side in sides.items() for end in ends}


def judge(calls: pl.DataFrame, settings: CanarySettings, weight: int | None = None) -> Canary:
    """What calls say of a candidate: rows of `telemetry.schema` with `is_candidate`, of one vantage a hop.

    weight: the candidate's share of the traffic now, in per cent; counted from the calls where it is not given.
    Raises BadInputError where one side has no calls.
    """
    sides = {side: int((calls["is_candidate"] == side).sum()) for side in (False, True)}
    if not all(sides.values()):
        raise BadInputError(f"the {'baseline' if sides[True] else 'candidate'} has no calls; a comparison needs both")
    share = max(1, min(99, round(100.0 * sides[True] / calls.height))) if weight is None else weight
    ended = with_kinds(_finished(calls).sort("start", "span_id"))
    # Shared by all measures, seen or not: what is added later must not have been spent before.
    alpha = (1.0 - settings.confidence) / len(measures())
    seen = [(measure, pair(ended, measure, settings.quantile)) for measure in measures() if _is_seen(ended, measure)]
    judged = tuple(_judged(ended, measure, pairs, settings, alpha) for measure, pairs in seen)
    verdict = _verdict(judged)
    needs = max((each.needs_calls for each in judged if each.needs_calls is not None), default=None)
    return Canary(
        verdict,
        share,
        _next(verdict, share, settings.weights),
        sides[False],
        sides[True],
        _reason(verdict, judged, needs, share),
        needs if verdict == "hold" else None,
        tuple(sorted(calls["callee"].unique())),
        judged,
        tuple(course(measure.name, pairs, settings.margin(measure), alpha) for measure, pairs in seen),
    )


def _finished(calls: pl.DataFrame) -> pl.DataFrame:
    seconds = pl.col("duration_s").fill_null(0.0)
    last = calls.select((pl.col("start") + pl.duration(nanoseconds=(seconds * 1e9).cast(pl.Int64))).max()).item()
    long_s = float(calls.select(seconds.quantile(UNFINISHED, "higher")).item())
    return calls.filter(pl.col("start") <= last - pl.duration(nanoseconds=int(long_s * 1e9)))


def _is_seen(calls: pl.DataFrame, measure: Measure) -> bool:
    """Whether any call shows it; then it has to be decided."""
    return measure.seconds is None or bool(calls.select(measure.seconds.is_not_null().any()).item())


def _judged(calls: pl.DataFrame, measure: Measure, pairs: Pairs, settings: CanarySettings, alpha: float) -> Judged:
    between, margin = difference(pairs.low, pairs.high, alpha), settings.margin(measure)
    standing: Standing = "within" if between.high < margin else "worse" if between.low > 0.0 else "open"
    sides = [None, None] if measure.seconds is None else [_quantile(calls, measure, s, settings, alpha) for s in (False, True)]
    needs = _needed(pairs, between, margin, alpha) if standing == "open" else None
    return Judged(
        measure.name, standing, between.estimate, between.low, between.high, margin, len(pairs.low), needs, sides[0], sides[1]
    )


def _needed(pairs: Pairs, between: Between, margin: float, alpha: float) -> int:
    """About how many more of the candidate's calls show what now seems to be so, from the spread of the pairs.

    The stake that grows fastest gains gap ** 2 / (2 variance) a pair, and log(2 / alpha) is needed.
    """
    log_needed, seen = math.log(2.0 / alpha), len(pairs.low)
    variance = float(np.var((pairs.low + pairs.high) / 2.0)) if seen > 1 else 0.25
    gap = max(margin - between.estimate, between.estimate, margin / 2.0)
    needed = SLACK * log_needed * (2.0 * max(variance, margin * gap) / gap**2 + 1.0 / gap)
    each = pairs.candidates / seen if seen else 1.0
    return max(1, math.ceil((needed - seen) * each))


def _quantile(calls: pl.DataFrame, measure: Measure, side: bool, settings: CanarySettings, alpha: float) -> Duration:
    """The quantile of one side, cut calls counted as they may have ended: just then for the low limit, never for the high."""
    assert measure.seconds is not None  # noqa: S101 - only failures have no seconds
    rows = calls.filter(pl.col("is_candidate") == side).select(s=measure.seconds, ended=measure.ended).drop_nulls("s")
    count = rows.height
    low, high = quantile_ranks(count, settings.quantile, alpha)
    soonest = np.sort(rows["s"].to_numpy())
    latest = np.sort(np.where(rows["ended"].to_numpy(), rows["s"].to_numpy(), np.inf))
    middle = max(1, math.ceil(settings.quantile * count))

    def at(ordered: np.ndarray, rank: int) -> float | None:
        return float(ordered[rank - 1]) if 1 <= rank <= count and np.isfinite(ordered[rank - 1]) else None

    return Duration(at(latest, middle), at(soonest, low), at(latest, high))


def _verdict(judged: Sequence[Judged]) -> Verdict:
    if any(each.standing == "worse" for each in judged):
        return "roll_back"
    return "promote" if all(each.standing == "within" for each in judged) else "hold"


def _next(verdict: Verdict, weight: int, weights: Sequence[int]) -> int:
    if verdict == "roll_back":
        return 0
    return weight if verdict == "hold" else next((each for each in sorted(weights) if each > weight), 100)


WORDS: Final = {
    "failed": "failed calls",
    "first_token": "late first tokens",
    "max_gap": "long gaps",
    "total": "long calls",
    "per_token": "slow tokens",
}


def _reason(verdict: Verdict, judged: Sequence[Judged], needs: int | None, weight: int) -> str:
    if verdict == "roll_back":
        return "; ".join(f"more {WORDS[each.name]}: {points_text(each)}" for each in judged if each.standing == "worse")
    if verdict == "promote":
        return "; ".join(f"{WORDS[each.name]} within {100 * each.margin:.1f} %: {points_text(each)}" for each in judged)
    waiting = ", ".join(WORDS[each.name] for each in judged if each.standing == "open")
    return f"not decided: {waiting}; about {needs:,} more of the candidate's calls at a weight of {weight} %"


def points_text(each: Judged) -> str:
    """How many more of the candidate's calls there are, in percentage points, with the interval."""
    return f"{100 * each.difference:+.1f} pp ({100 * each.low:+.1f} to {100 * each.high:+.1f} pp)"
