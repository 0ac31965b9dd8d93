"""Retries: how often, after which failures, within which budget. One layer of a chain repeats, the lowest that can.

Only what is safe to repeat counts: a call that was never executed, or one that failed before its headers on a hop where
repeating does no harm. The budget covers the upper bound of such failures in calm minutes, and is capped by headroom, by the
chain's amplification and by what repeated tokens may cost.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from meshslo.analysis.interval import proportion
from meshslo.analysis.policy.budgets import BUDGET_INTERVAL_S
from meshslo.analysis.policy.durations import round_up
from meshslo.analysis.policy.settings import IDEMPOTENT_CONDITIONS, SAFE_CONDITIONS
from meshslo.analysis.quantile import calls_needed

from .chain import HopRoute, choose_layers, paths
from .failures import Attempts, count_attempts
from .observed import Observed
from .recommendation import Current, Effect, Evidence, Recommendation, Status, Target, Value
from .retry_effects import Budget, blanket, budget_in_words, effects, gain, same_policy, so_far
from .words import count, share

SMALLEST_SHARE: Final = 0.05
"""A share of failures below this must be tellable from none: 59 calls at 95 % confidence."""

LEAST_PER_S: Final = 1.0 / BUDGET_INTERVAL_S
"""One repetition in each window, so that a quiet hop can repeat at all."""


class RetryRecommender:
    """The recommender of retries and their budgets."""

    kind = "retry"
    plural = "retries"

    def recommend(self, observed: Observed) -> Sequence[Recommendation]:
        """Attempts, conditions, budget ratio and floor of every hop and route."""
        run = _Run(observed)
        return [item for place in sorted(run.attempts, key=lambda p: (p[0], p[1] or "")) for item in run.of(place)]


@dataclass(frozen=True)
class _Advice:
    """One setting of a hop before it is compared with what is deployed."""

    setting: str
    value: Value | None
    reason: str
    effect: Mapping[str, Effect] = field(default_factory=dict)
    budget: Budget | None = None


@dataclass(frozen=True, eq=False)
class _Run:
    """One pass over what was observed."""

    observed: Observed

    @cached_property
    def attempts(self) -> Mapping[HopRoute, Attempts]:
        return count_attempts(self.observed.calls, self.observed.config)

    @cached_property
    def layers(self) -> dict[str, str]:
        """For each hop, the hop below (or itself) that repeats on its ways."""
        hops = sorted({hop for hop, _ in self.attempts})
        failing = {hop for (hop, _), seen in self.attempts.items() if (seen.safe + seen.safe_if_idempotent).sum() > 0}
        return choose_layers(paths(hops), failing)

    def of(self, place: HopRoute) -> Iterator[Recommendation]:
        seen, target = self.attempts[place], Target(*place)
        needed = calls_needed(1 - SMALLEST_SHARE, self._confidence)
        if seen.calls < needed:
            reason = f"{count(seen.calls)} calls do not show how many fail: {count(needed - seen.calls)} more are needed"
            yield self._item(target, _Advice("retry_attempts", None, reason), "not_identifiable")
        elif self.layers[target.hop] != target.hop:
            where = f"{self.layers[target.hop]} repeats what is safe; repeating here as well multiplies calls"
            yield self._none(target, seen, f"{where}{so_far(seen)}")
        else:
            yield from self._some(target, seen)

    def _none(self, target: Target, seen: Attempts, reason: str) -> Recommendation:
        return self._settled(target, _Advice("retry_attempts", 0, reason, effects(seen, None, self._confidence)))

    def _some(self, target: Target, seen: Attempts) -> Iterator[Recommendation]:
        budget = self._budget(target, seen)
        if budget.ratio <= 0:
            yield self._none(target, seen, budget.why)
            return
        begun = self._repeats_begun(target, seen)
        conditions = ",".join(IDEMPOTENT_CONDITIONS if begun else SAFE_CONDITIONS)
        harmless = "repeating it before headers does no harm" if begun else "after these the callee has not begun"
        effect = effects(seen, budget, self._confidence)
        lowest = f"it is the lowest hop of its chain that can repeat; {gain(seen, self._confidence)}{so_far(seen)}"
        yield self._settled(target, _Advice("retry_attempts", 1, f"{lowest}; {blanket(seen)}", effect, budget))
        yield self._settled(target, _Advice("retry_on", conditions, f"{harmless}; anything else may run twice", {}, budget))
        means = f"{budget.why}; {budget_in_words(budget.ratio, seen, self.observed.window_s)}"
        yield self._settled(target, _Advice("retry_budget_ratio", budget.ratio, means, effect, budget))
        yield self._settled(target, self._floor(seen, budget))

    def _budget(self, target: Target, seen: Attempts) -> Budget:
        """The upper bound of safe failures in calm minutes, under its caps."""
        calm = seen.calm
        safe = int(seen.safe[calm].sum()) + int(seen.safe_if_idempotent[calm].sum())
        calls = int(seen.firsts[calm].sum())
        low, high = proportion(safe, calls, 2 * self._confidence - 1)
        left_out = len(calm) - int(calm.sum())
        storms = f" ({left_out} of {len(calm)} minutes left out: outages)" if left_out else ""
        failed = f"{count(safe)} of {count(calls)} calls in calm minutes{storms} failed in a way that is safe to repeat"
        covers = f"{failed}, at most {share(float(high))} with {share(self._confidence)} confidence"
        ratio, why = round_up(float(high)), f"covers them: {covers}"
        for cap, reason in self._caps(target, seen):
            if cap < ratio:
                ratio, why = max(cap, 0.0), f"{covers}, but {reason}"
        return Budget(safe / calls, float(low), float(high), ratio, why)

    def _caps(self, target: Target, seen: Attempts) -> Iterator[tuple[float, str]]:
        config = self.observed.config
        limit = round(config.chain.amplification - 1.0, 6)
        yield limit, f"the chain may make {config.chain.amplification:g} calls of one at most"
        if self._repeats_begun(target, seen):
            yield config.retries.cost_ratio, f"repeated tokens may cost {share(config.retries.cost_ratio)} at most"
        capacity = config.hop(target.hop).capacity_per_s
        if capacity is not None:
            room = capacity / max(seen.peak_per_s, 1e-9) - 1.0
            peak = f"{seen.peak_per_s:.3g}/s at peak leave {share(max(room, 0.0))} of a capacity of {capacity:g}/s"
            yield float(f"{room:.2g}"), peak

    def _repeats_begun(self, target: Target, seen: Attempts) -> bool:
        """Whether calls that the callee may have begun are repeated too."""
        return self.observed.config.hop(target.hop).idempotent or int(seen.safe_if_idempotent.sum()) > 0

    def _floor(self, seen: Attempts, budget: Budget) -> _Advice:
        room = (self.observed.config.chain.amplification - 1.0 - budget.ratio) * seen.rate_per_s(self.observed.window_s)
        value = float(f"{min(LEAST_PER_S, max(room, LEAST_PER_S / 10)):.2g}")
        reason = f"one repetition in {1 / value:.3g} s, so that a quiet hop can repeat at all within the chain's limit"
        return _Advice("retry_budget_min_per_s", value, reason, {}, budget)

    # Common

    @property
    def _confidence(self) -> float:
        return self.observed.config.objectives.confidence

    def _settled(self, target: Target, advice: _Advice) -> Recommendation:
        """`keep` where what is deployed does the same within noise, else `change`."""
        now = self._current(advice.setting, target)
        if now is not None and advice.value is not None and same_policy(advice.setting, now.value, advice.value):
            return self._item(target, replace(advice, value=now.value), "keep")
        return self._item(target, advice, "change")

    def _item(self, target: Target, advice: _Advice, status: Status) -> Recommendation:
        seen, budget = self.attempts[target.hop, target.route], advice.budget
        return Recommendation.of(
            advice.setting,
            advice.value,
            target=target,
            current=self._current(advice.setting, target),
            status=status,
            confidence=self._confidence,
            reason=advice.reason,
            evidence=Evidence(
                calls=seen.calls,
                censored=seen.cut,
                window_s=self.observed.window_s,
                estimate=budget.share if budget else None,
                low=budget.low if budget else None,
                high=budget.high if budget else None,
            ),
            effect=advice.effect,
        )

    def _current(self, setting: str, target: Target) -> Current | None:
        deployed = self.observed.deployed
        placed = deployed.find(setting, target.callee, target.route)
        if placed is not None:
            return Current.read(placed)
        seen = self.attempts[target.hop, target.route]
        if setting == "retry_attempts" and seen.most > 1 and not deployed.knows(target.callee):
            return Current(seen.most - 1, "1", f"inferred: up to {seen.most} attempts seen")
        return None


RECOMMENDER: Final = RetryRecommender()
