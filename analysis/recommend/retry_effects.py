"""What repeating does: calls made for one asked, success, tokens; and what repeating everything would do instead."""

from dataclasses import dataclass
from typing import Final

from meshslo.analysis.concurrency import littles_law
from meshslo.analysis.interval import wilson
from meshslo.analysis.policy.budgets import BUDGET_INTERVAL_S

from .failures import Attempts
from .recommendation import Effect, Value
from .words import count, figure, seconds, share

SECOND_TRIES: Final = 30
"""Second attempts after which their success is told, to within 18 % (Wilson)."""

NOISE_BELOW: Final = 0.8
NOISE_ABOVE: Final = 2.0
"""A budget between these multiples of the proposed one does the same: it bounds storms, not the daily noise."""

BLANKET_TRIES: Final = 2
"""Repetitions that people set for everything; Istio's default count."""


@dataclass(frozen=True)
class Budget:
    """What a hop may repeat: the share of failures that are safe to repeat, and the ratio with what it covers or caps it."""

    share: float
    low: float
    high: float
    ratio: float
    why: str


def same_policy(setting: str, now: Value, proposed: Value) -> bool:
    """Whether the value deployed now does what the proposed one would, within noise."""
    if setting == "retry_on":
        return split_conditions(str(now)) == split_conditions(str(proposed))
    if setting == "retry_attempts":
        return (float(now) > 0) == (float(proposed) > 0) and float(now) <= float(proposed) + 1
    return float(proposed) * NOISE_BELOW <= float(now) <= float(proposed) * NOISE_ABOVE


def split_conditions(text: str) -> frozenset[str]:
    """The conditions of a `retry_on` list, in any order and with or without spaces."""
    return frozenset(part.strip() for part in text.split(",") if part.strip())


def effects(seen: Attempts, budget: Budget | None, confidence: float) -> dict[str, Effect]:
    """Amplification and success of the hop before and after; without a budget nothing is repeated."""
    first_ok = seen.ok_first / seen.calls
    success = Effect(before=seen.ok / seen.calls, after=first_ok)
    amplification = Effect(before=seen.amplification, after=1.0, after_high=1.0)
    if budget is not None:
        safe = int(seen.safe.sum()) + int(seen.safe_if_idempotent.sum())
        repeated = min(safe / seen.calls, budget.ratio)
        amplification = Effect(before=seen.amplification, after=1.0 + repeated, after_high=1.0 + budget.ratio)
        second = wilson(seen.second_ok, seen.second, confidence) if seen.second >= SECOND_TRIES else None
        success = Effect(
            before=seen.ok / seen.calls,
            after=None if second is None else first_ok + repeated * second.estimate,
            after_low=first_ok + repeated * (0.0 if second is None else second.low),
            after_high=first_ok + repeated * (1.0 if second is None else second.high),
        )
    return {"amplification": amplification, "success_rate": success}


def gain(seen: Attempts, confidence: float) -> str:
    """How often a second attempt succeeds, where enough were seen."""
    if seen.second < SECOND_TRIES:
        few = f"only {count(seen.second)} second attempts were seen" if seen.second else "no second attempt was seen"
        return f"{few}, so what a repetition gains is not known yet"
    second = wilson(seen.second_ok, seen.second, confidence)
    interval = f"{share(second.low)} to {share(second.high)}, {count(seen.second)} seen"
    return f"{share(second.estimate)} of second attempts succeed ({interval})"


def so_far(seen: Attempts) -> str:
    """What is repeated now, where anything is."""
    extra = int(seen.tries.sum()) - seen.calls
    return f"; now {count(seen.tries.sum())} calls are made for {count(seen.calls)} asked" if extra > 0 else ""


def blanket(seen: Attempts) -> str:
    """What repeating every failure (5xx, reset) would cost instead."""
    failed = int(seen.failed.sum())
    tokens = f" and generate {count(seen.tokens_of_failed)} chunks or tokens again" if seen.tokens_of_failed else ""
    worst = 1 + BLANKET_TRIES
    repeats = f"{count(failed)} calls ({share(failed / seen.calls)}){tokens}"
    outage = f"in an outage make {worst} calls of one, at two such layers {worst**2}"
    return f"repeating every failure {BLANKET_TRIES} times would repeat {repeats}, and {outage}"


def budget_in_words(ratio: float, seen: Attempts, window_s: float) -> str:
    """What a ratio admits as a rate, and where a mesh counts calls in progress: by Little's law a share of rate x duration.

    Over a window of T a rate budget admits ratio x rate x T repetitions, the other ratio x rate x mean duration at a time.
    """
    rate, mean_s = seen.rate_per_s(window_s), seen.busy_s / max(int(seen.tries.sum()), 1)
    return (
        f"of {figure(rate)} calls a second that is {figure(ratio * rate)} a second; where a mesh counts calls in progress "
        f"instead ({figure(littles_law(rate, mean_s))} on average), it admits {figure(mean_s / BUDGET_INTERVAL_S)} times as "
        f"many as over {seconds(BUDGET_INTERVAL_S)}"
    )
