"""One timer judged against one life table: estimated, explored, kept, or not identifiable; and the sentence that says why."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from meshslo.analysis.interval import proportion
from meshslo.analysis.policy.durations import round_up
from meshslo.analysis.quantile import Quantile, calls_needed
from meshslo.analysis.survival import LifeTable

from .recommendation import Current, Effect, Evidence, Recommendation, Status, Target
from .words import count, seconds, share

NOISE_RATIO: Final = 1.1
"""Values closer than this ratio are the same: two significant digits round up by as much."""

WORTH_SAYING: Final = 0.95
"""Below this share of their number it is said what bursts or sampling leave of calls."""

DOUBLING: Final = 2.0
"""By what a timer is raised that hides everything beyond it and where nothing else bounds the call."""


Bound = Callable[[], tuple[float, str] | None]
"""Seconds and why, or None; worked out only where it is needed."""


@dataclass(frozen=True, eq=False)
class Timer:
    """What a timer of one target is judged on.

    calls: all calls of the target; timed_out: those that a timer cut; budget: the share of calls it may cut falsely.
    own_cuts: whether the target's own timer cut any, not only a caller's further out. deadline_s: what the chain or the hop
    allows at most, None where nothing is said.
    """

    setting: str
    target: Target
    table: LifeTable
    calls: int
    timed_out: int
    current: Current | None
    budget: float
    confidence: float
    window_s: float
    deadline_s: float | None = None
    own_cuts: bool = True
    together: str = ""
    """What the other timers of the call may cut besides, as the end of the reason."""

    @cached_property
    def quantile(self) -> Quantile:
        """The quantile that the budget names."""
        return self.table.quantile(1.0 - self.budget, self.confidence)

    @property
    def current_s(self) -> float | None:
        """The value deployed now, in seconds."""
        return None if self.current is None else float(self.current.value)

    @property
    def cuts_too_many(self) -> bool:
        """Whether timers cut more calls than the budget allows, beyond what chance would do."""
        low, _ = proportion(self.timed_out, max(self.calls, 1), self.confidence)
        return bool(self.timed_out and float(low) > self.budget)

    @property
    def needed(self) -> int:
        """Calls, seen to their end, after which an upper bound exists."""
        return calls_needed(1.0 - self.budget, self.confidence)

    def words(self) -> str:
        """How many calls there are, how many of them were cut, and how many independent ones they are worth."""
        cut = f", {count(self.table.censored)} of them cut" if self.table.censored else ""
        fewer = self.table.effective_calls < self.table.calls * WORTH_SAYING
        worth = f", worth {count(self.table.effective_calls)} independent ones" if fewer else ""
        return f"{count(self.table.calls)} calls{cut}{worth}"


@dataclass(frozen=True)
class Answer:
    """A value with its status and the sentence that says why; None is no value."""

    status: Status
    value_s: float | None
    reason: str


def judge(timer: Timer, *, bound: Bound | None = None, floor: tuple[float, str] | None = None) -> Answer:
    """The answer for a timer.

    bound: asked where a cap hides the tail, for the seconds that an uncut call takes at most, and why. floor: seconds below
    which the timer would cut what a call waits for, and why (coherence of the chain).
    """
    quantile = timer.quantile
    if quantile.status == "ok" and quantile.upper_s is not None:
        answer = _estimated(timer, quantile, quantile.upper_s, floor)
    elif timer.cuts_too_many:
        answer = _explored(timer, bound() if bound else None, floor)
    else:
        answer = _unknown(timer, quantile, floor)
    return answer


def _estimated(timer: Timer, quantile: Quantile, upper_s: float, floor: tuple[float, str] | None) -> Answer:
    estimate = f"{share(1 - timer.budget)} of {_subject(timer)} within {seconds(quantile.value_s or upper_s)}"
    why = f"{estimate}, at most {seconds(upper_s)} with {share(timer.confidence)} confidence ({timer.words()})"
    value_s = round_up(upper_s)
    if floor and floor[0] > value_s:
        value_s, why = round_up(floor[0]), f"{why}, but {floor[1]}"
    if timer.deadline_s is not None and value_s > timer.deadline_s:
        why += (
            f"; the deadline of {seconds(timer.deadline_s)} cannot hold for {share(timer.budget)}: it needs {seconds(value_s)}"
        )
    return _settled(timer, quantile, value_s, why, floor)


def _settled(timer: Timer, quantile: Quantile, value_s: float, why: str, floor: tuple[float, str] | None) -> Answer:
    """`keep` where the present value lies inside the noise of the estimate and breaks no chain, else `change`."""
    now_s = timer.current_s
    if now_s is None:
        return Answer("change", value_s, f"{why}; no timer is known")
    low_s = max(min(quantile.low_s or value_s, value_s), floor[0] if floor else 0.0)
    high_s = value_s * max(NOISE_RATIO, value_s / (quantile.low_s or value_s))
    if low_s <= now_s <= high_s:
        return Answer("keep", now_s, f"{why}; the present {seconds(now_s)} is within the noise of that")
    doing = "cuts calls that would have ended well" if now_s < value_s else "holds a dead call longer than it must"
    return Answer("change", value_s, f"{why}; the present {seconds(now_s)} {doing}")


def _explored(timer: Timer, bound: tuple[float, str] | None, floor: tuple[float, str] | None) -> Answer:
    """A value that shows what the cap hides: the bound, the chain's need, at least a doubling, at most the deadline."""
    # What calls were cut at; the timer deployed now may be a later, longer one.
    cap_s = min(timer.current_s or timer.table.longest_s, timer.table.longest_s)
    hidden = _hidden(timer, cap_s)
    value_s, why = _to_explore(cap_s, bound, floor)
    now_s = timer.current_s
    if timer.deadline_s is not None and value_s > timer.deadline_s:
        value_s, why = timer.deadline_s, f"{why}, but the deadline allows {seconds(timer.deadline_s)} at most"
        if value_s <= cap_s * (1 + 1e-9):
            return Answer("keep", now_s, f"{hidden}; the deadline of {seconds(value_s)} allows no more: make calls shorter")
    # Calls end some milliseconds after the timer that cut them: twice that is no other value than was set for them.
    if now_s is not None and now_s * NOISE_RATIO >= value_s:
        return Answer("keep", now_s, f"{hidden}; the present {seconds(now_s)} leaves room for it: {why}")
    later = f"{count(timer.needed)} calls under it show the tail and can tighten it; until then a dead call is held so long"
    return Answer("explore", value_s, f"{hidden}; {why}: set {seconds(value_s)}; {later}")


def _hidden(timer: Timer, cap_s: float) -> str:
    low, high = proportion(timer.timed_out, timer.calls, timer.confidence)
    # The window may have begun under a shorter one.
    at_cap = timer.table.cut_from(cap_s / NOISE_RATIO) >= timer.timed_out / 2
    own = f"a timer at {seconds(cap_s)}" if at_cap else f"timers of up to {seconds(cap_s)}"
    whose = own if timer.own_cuts else "timers of its callers"
    rate = f"{share(float(low))} to {share(float(high))}; {share(timer.budget)} are allowed"
    return f"{whose} cut {count(timer.timed_out)} of {count(timer.calls)} calls ({rate}) and hid how long they would have taken"


def _to_explore(cap_s: float, bound: tuple[float, str] | None, floor: tuple[float, str] | None) -> tuple[float, str]:
    """The value and why: the bound, or a doubling where there is none or it lies below; more where the chain needs more."""
    value_s, why = bound or (0.0, "")
    if value_s < cap_s * DOUBLING:
        seen = (
            f"{why}, which is no more than the cap lets through, so it is doubled" if bound else "nothing bounds them: doubled"
        )
        value_s, why = cap_s * DOUBLING, seen
    if floor and floor[0] > value_s:
        value_s, why = floor
    return round_up(value_s), why


def _unknown(timer: Timer, quantile: Quantile, floor: tuple[float, str] | None) -> Answer:
    now_s = timer.current_s
    missing = quantile.needs_calls or max(timer.needed - timer.table.events, 1)
    if quantile.status == "at_least" and quantile.value_s is not None:
        why = f"{share(1 - timer.budget)} of {_subject(timer)} within more than {seconds(quantile.value_s)} ({timer.words()})"
        why += ": too many were cut to say how much more"
    else:
        why = (
            f"{timer.words()} do not show what {share(1 - timer.budget)} of them stay within: {count(missing)} more are needed"
        )
    if floor and now_s is not None and now_s < floor[0]:
        value_s = round_up(floor[0])
        return Answer("change", value_s, f"{floor[1]}, and the present {seconds(now_s)} is less; beyond that, {why}")
    return Answer("not_identifiable", None, why)


def _subject(timer: Timer) -> str:
    """What the share is of, as in "99 % of first tokens come within 2 s"."""
    return {
        "first_token_timeout": "first tokens come",
        "idle_gap_timeout": "calls' longest silences stay",
        "per_try_timeout": "response headers come",
    }.get(timer.setting, "calls end")


def recommendation(timer: Timer, answer: Answer) -> Recommendation:
    """The answer as a recommendation with its evidence and effect."""
    quantile = timer.quantile
    known = quantile.status != "not_identifiable"
    return Recommendation.of(
        timer.setting,
        answer.value_s,
        target=timer.target,
        current=timer.current,
        status=answer.status,
        confidence=timer.confidence,
        reason=answer.reason if answer.value_s is None else f"{answer.reason}{timer.together}",
        evidence=Evidence(
            calls=timer.table.calls,
            censored=timer.table.censored,
            window_s=timer.window_s,
            estimate=quantile.value_s if known else None,
            low=quantile.low_s if known else None,
            high=quantile.upper_s if known else None,
        ),
        effect=_effect(timer, answer),
    )


def _effect(timer: Timer, answer: Answer) -> dict[str, Effect]:
    if answer.value_s is None or not timer.table.calls:
        return {}
    now_s = timer.current_s
    before = None if now_s is None else timer.table.exceedance(now_s, timer.confidence)
    after = timer.table.exceedance(answer.value_s, timer.confidence)
    exploring = answer.status == "explore"
    return {
        "false_timeout_rate": Effect(
            before=None if before is None else before.estimate,
            before_low=None if before is None else before.low,
            before_high=None if before is None else before.high,
            # Beyond a cap nothing was seen: only the limit is known, and no estimate is made up.
            after=None if exploring else after.estimate,
            after_low=None if exploring else after.low,
            after_high=after.high,
        ),
        "longest_hold_s": Effect(before=now_s, after=answer.value_s),
    }
