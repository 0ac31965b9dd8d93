"""Hedging: after which delay a second call is sent beside a slow one, for retrieval alone.

A second call helps where slowness is chance, and not where the same query is slow everywhere. How much of it goes along with
the call is measured from calls that were tried twice. A generation is never hedged: it is paid twice, and slow for its prompt.
Source: Dean and Barroso 2013, The Tail at Scale.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import polars as pl

from meshslo.analysis.interval import wilson
from meshslo.analysis.policy.durations import round_up
from meshslo.analysis.quantile import Interval, calls_needed
from meshslo.analysis.survival import LifeTable

from .observed import Observed
from .recommendation import Current, Effect, Evidence, Recommendation, Status, Target
from .words import count, seconds, share

SETTING: Final = "hedge_delay"

HEDGED_SHARE: Final = 0.05
"""Share of the calls that a second one is sent beside: the load that hedging adds at most."""

TAIL: Final = 0.99
"""The quantile that hedging is for."""

FEWEST_PAIRS: Final = 30
"""Slow calls that were tried again: for a share known to some 18 % (Wilson)."""

WORTH_RATIO: Final = 0.9
"""A tail that would surely not get shorter than this is not worth the load."""

STEPS: Final = 40


class HedgeRecommender:
    """The recommender of hedging."""

    kind = "hedge"
    plural = "hedges"

    def recommend(self, observed: Observed) -> Sequence[Recommendation]:
        """The delay of every hop and route that answers at once, in order; generations are none, streamed or whole."""
        generate = _generations(observed)
        runs = (_Run(observed, Target(*place)) for place in observed.routes if place not in generate)
        return [run.item() for run in runs if run.table.calls > 0]


def _generations(observed: Observed) -> frozenset[tuple[str, str | None]]:
    """Hops and routes that streamed or made tokens; of their hops also the calls of which no route is known."""
    wrote = observed.calls.filter(pl.col("output_tokens") > 0).select("hop", "route").unique().collect()
    seen = observed.streamed | set(wrote.iter_rows())
    return frozenset(seen | {(hop, None) for hop, _ in seen})


@dataclass(frozen=True, eq=False)
class _Run:
    """One hop and route."""

    observed: Observed
    target: Target

    @cached_property
    def table(self) -> LifeTable:
        return self.observed.tables("total").careful(self.target.hop, self.target.route)

    @property
    def _confidence(self) -> float:
        return self.observed.config.objectives.confidence

    def item(self) -> Recommendation:
        needed = calls_needed(TAIL, self._confidence)
        if self.table.calls < needed:
            return self._item(None, "not_identifiable", f"{count(needed - self.table.calls)} more calls are needed for its p99")
        if not self.observed.config.hop(self.target.hop).idempotent:
            why = f'whether two calls do as little harm as one is not said (hops."{self.target.hop}".idempotent in the config)'
            return self._item(None, "keep", f"{why}: none is sent beside another")
        return self._judged()

    def _judged(self) -> Recommendation:
        found = self.table.quantile(1.0 - HEDGED_SHARE, self._confidence)
        if found.status != "ok" or found.upper_s is None:
            return self._item(None, "not_identifiable", "a timer hides its p95: more calls under a longer one are needed")
        delay_s = round_up(found.upper_s)
        load = (
            f"sent after {seconds(delay_s)}, which {share(1.0 - HEDGED_SHARE)} of the calls stay within, it adds so many calls"
        )
        pairs, together = self.goes_along(delay_s)
        if pairs < FEWEST_PAIRS:
            tail = self._tails(delay_s, Interval(0.5, 0.0, 1.0))
            band = f"p99 would be between {seconds(tail.after_low or 0.0)} and {seconds(tail.after_high or 0.0)}"
            more = f"{count(FEWEST_PAIRS - pairs)} more slow calls that are tried again are needed to say how much it helps"
            return self._item(None, "not_identifiable", f"{load}; {band}; {more}", {"p99_s": tail})
        tail = self._tails(delay_s, together)
        measured = f"of {count(pairs)} slow calls tried again {share(together.estimate)} were slow for a reason that stays"
        gain = f"p99 falls from {seconds(tail.before or 0.0)} to {seconds(tail.after or 0.0)}"
        if (tail.after_high or 0.0) > WORTH_RATIO * (tail.before or 0.0):
            return self._item(None, "keep", f"{measured}: p99 would not surely fall ({gain}), so none is sent", {"p99_s": tail})
        effect = {"p99_s": tail, "added_calls_ratio": Effect(0.0, HEDGED_SHARE, after_low=0.0, after_high=HEDGED_SHARE)}
        return self._item(delay_s, "change", f"{load}; {measured}; {gain}", effect)

    def goes_along(self, delay_s: float) -> tuple[int, Interval]:
        """How many slow calls were tried again, and the share of slowness that stays with the call, with its limits.

        With a share r that stays, a second try is slow with r + (1 - r) S(delay), S being the share of calls that slow.
        """
        seconds_tries = self._second_tries(delay_s)
        slow = int((seconds_tries["duration_s"] > delay_s).sum())
        chance = self.table.exceedance(delay_s, self._confidence).estimate

        def stays(seen: float) -> float:
            return min(1.0, max(0.0, (seen - chance) / (1.0 - chance)))

        found = wilson(slow, seconds_tries.height, self._confidence)
        return seconds_tries.height, Interval(stays(found.estimate), stays(found.low), stays(found.high))

    def _second_tries(self, delay_s: float) -> pl.DataFrame:
        """Second attempts whose first took longer than `delay_s`, where a trace has one of each from one vantage."""
        here = (pl.col("hop") == self.target.hop) & pl.col("route").eq_missing(pl.lit(self.target.route, dtype=pl.String))
        tried = self.observed.calls.filter(here & (pl.col("attempt") <= 2) & pl.col("duration_s").is_not_null())
        key = ("trace_id", "vantage")
        firsts, seconds_tries = (tried.filter(pl.col("attempt") == number).filter(pl.len().over(key) == 1) for number in (1, 2))
        slow = firsts.filter(pl.col("duration_s") > delay_s).select(key)
        pairs = seconds_tries.join(slow, on=key, how="semi").collect()
        # One call may have been seen from several vantages: the one that saw most pairs counts.
        most = pairs.group_by("vantage").len().sort("len", "vantage", descending=[True, False])["vantage"].head(1).to_list()
        return pairs.filter(pl.col("vantage").is_in(most))

    def _tails(self, delay_s: float, together: Interval) -> Effect:
        """p99 now and with hedging, for the share of slowness that stays and its limits."""
        now = self.table.quantile(TAIL, self._confidence)
        after = [self._hedged(delay_s, stays) for stays in (together.estimate, together.low, together.high)]
        return Effect(now.value_s, after[0], now.low_s, now.high_s, after[1], after[2])

    def _hedged(self, delay_s: float, stays: float) -> float:
        """The time that a share `TAIL` of the calls stays within, if a second is sent after `delay_s` and the first wins."""

        def beyond(t_s: float) -> float:
            first = self.table.exceedance(t_s, self._confidence).estimate
            if t_s <= delay_s:
                return first
            return first * (stays + (1.0 - stays) * self.table.exceedance(t_s - delay_s, self._confidence).estimate)

        low_s, high_s = 0.0, max(self.table.longest_s, delay_s)
        for _ in range(STEPS):
            middle_s = (low_s + high_s) / 2.0
            low_s, high_s = (middle_s, high_s) if beyond(middle_s) > 1.0 - TAIL else (low_s, middle_s)
        return high_s

    def _item(
        self, value_s: float | None, status: Status, reason: str, effect: Mapping[str, Effect] | None = None
    ) -> Recommendation:
        placed = self.observed.deployed.find(SETTING, self.target.callee, self.target.route)
        current = Current.read(placed)
        keeps = current is not None and value_s is not None and abs(float(current.value) - value_s) <= 0.1 * value_s
        return Recommendation.of(
            SETTING,
            value_s,
            target=self.target,
            current=current,
            status="keep" if keeps else status,
            confidence=self._confidence,
            reason=reason,
            evidence=Evidence(self.table.calls, self.table.censored, self.observed.window_s),
            effect=effect,
        )


RECOMMENDER: Final = HedgeRecommender()
