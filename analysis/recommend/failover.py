"""Failover: calls go to another cluster or provider while the preferred one is out, and to it alone while it is well.

A mesh notices an outage by ejection: endpoints that fail so often in a row are out, and what the rest does not bear goes to
the next priority. So the limits of the detector belong to a failover, and are proposed with it. What would have set it off,
how long, and how often back and forth is Envoy's own algorithm on the calls that were seen. A place that was never seen is not
recommended: nobody knows what it would do.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import polars as pl
from scipy.special import gammaincinv

from meshslo.analysis.ejection.limits import MOST_IN_A_ROW
from meshslo.analysis.failover.places import Places, find_places
from meshslo.analysis.failover.side import Side, side_of, waits
from meshslo.analysis.failover.spill import Spill
from meshslo.analysis.failover.trial import Trial
from meshslo.analysis.quantile import calls_needed
from meshslo.telemetry.vocabulary import hop as hop_name

from .failover_words import beside, trigger
from .load import CalleeLoad
from .observed import Observed
from .recommendation import Current, Effect, Evidence, Recommendation, Status, Target, Value
from .words import count, share

FEWEST: Final = calls_needed(0.95)
"""Calls of a place without which its tail has no bound."""

PREFERRED_SHARE: Final = 0.9
"""A place with so much of the calls is the preferred one, though nobody said so; the rest are probes of the other."""

DAY_S: Final = 86400.0


class FailoverRecommender:
    """The recommender of failover."""

    kind = "failover"
    plural = "failovers"

    def recommend(self, observed: Observed) -> Sequence[Recommendation]:
        """The order of places of each hop, and the ejection it needs, in order."""
        hops = observed.calls.select(pl.col("hop").unique().sort()).collect()["hop"].to_list()
        return [item for hop in hops for item in _Run(observed, Target(hop), observed.loads).items()]


@dataclass(frozen=True, eq=False)
class _Run:
    """One hop."""

    observed: Observed
    target: Target
    loads: Mapping[str, CalleeLoad]

    def items(self) -> Iterator[Recommendation]:
        why = self._unknown()
        if why is not None:
            yield self._item(self.setting, None, "not_identifiable", why)
        elif len(self.known.names) < 2:
            only = f"{self.target.callee} answers from {self.known.names[0]} alone"
            yield self._item(
                self.setting, None, "keep", f"{only}, and no other place is named: nothing to fail over to ({self._how})"
            )
        else:
            yield from self._judged()

    @property
    def _how(self) -> str:
        return f'hops."{self.target.hop}".failover in the config'

    # What is known

    @cached_property
    def places(self) -> Places | None:
        wanted = self.observed.config.hop(self.target.hop).failover or ()
        hops = dict.fromkeys((self.target.hop, *(hop_name(self.target.caller, name) for name in wanted)))
        calls = [self.observed.placed[hop] for hop in hops if hop in self.observed.placed]
        return find_places(pl.concat(calls).lazy(), self.target.caller, self.target.callee, wanted) if calls else None

    @property
    def known(self) -> Places:
        if self.places is None:
            raise ValueError(f"nobody names a place of {self.target.hop}")
        return self.places

    @property
    def setting(self) -> str:
        return "failover_provider" if self.places is not None and self.places.by == "provider" else "failover_cluster"

    @cached_property
    def sides(self) -> tuple[Side, Side]:
        """The preferred place, and the other one."""
        first, second = (self.known.of(name) for name in self.known.names)
        config = self.observed.config
        return side_of(self.known.names[0], first, config), side_of(self.known.names[1], second, config)

    @cached_property
    def trial(self) -> Trial:
        return Trial(self.known, self._confidence, (self.overprovisioning or 140) / 100.0)

    @property
    def _confidence(self) -> float:
        return self.observed.config.objectives.confidence

    def _unknown(self) -> str | None:
        """Why nothing can be said; None where something can."""
        if self.places is None:
            what = "who answered: a cluster (k8s.cluster.name, on the callee's side) or a provider (gen_ai.provider.name)"
            return f"{FEWEST} more calls that name {what} are needed"
        first, *others = self.known.names
        for name in (first, *others):
            seen = self.known.of(name).height
            if seen == 0:
                probes = f"{FEWEST} for its p95, {calls_needed(0.99)} for its p99"
                return f"{name} was never seen to answer: how it would is not known; send it more calls as probes ({probes})"
            if seen < FEWEST:
                return f"{count(FEWEST - seen)} more calls that {name} answers are needed to know how it does"
        if others and self.trial.limit is None:
            most = f"{first} fails more than {MOST_IN_A_ROW} times in a row in calm times as well"
            return f"{most}: no limit tells an outage; more calls of better times are needed"
        return None

    # The answer

    def _judged(self) -> Iterator[Recommendation]:
        first, second = self.sides
        part = first.calls / (first.calls + second.calls)
        answered = f"{first.name} answered {share(part)} of {count(first.calls + second.calls)} calls, {second.name} the rest"
        told = f"{answered}; {trigger(self.trial, self.by_slowness, self.timer_s)}; {beside(first, second)}{self._unplaced()}"
        if self.observed.config.hop(self.target.hop).failover is None and part < PREFERRED_SHARE:
            yield self._item(
                self.setting, None, "keep", f"{told}. They answer as equals; prefer one by {self._how}", self._effects()
            )
        elif self._no_better():
            worse = f"{second.name} does not surely fail less than {first.name} in its outages: nothing is won"
            yield self._item(self.setting, None, "keep", f"{told}. {worse}", self._effects())
        else:
            yield self._item(self.setting, ",".join(self.known.names), "change", told, self._effects())
            yield from self._needed()

    def _no_better(self) -> bool:
        """Whether there was an outage in which the other place would not surely have failed less."""
        return bool(self.trial.spill.failovers) and self.sides[1].failed.high >= self.trial.outage.low

    def _needed(self) -> Iterator[Recommendation]:
        """The ejection that a failover is set off by, and what the preferred place may be trusted with."""
        rules, first = self.trial.rules, self.known.names[0]
        row = f"a well endpoint of {first} does not fail so often in a row: a failover needs to know when one is gone"
        own = "Envoy's and Istio's own; how long an outage lasts does not follow from calls"
        mine, every = len(self.trial.first), len(self.trial.answers.pods)
        whole = f"{mine} of {every} endpoints are {first}'s, and all of them may be out; one is always left"
        yield self._item("consecutive_5xx", rules.consecutive_5xx, "change", row)
        yield self._item("interval", rules.interval_s, "change", f"how often ejected endpoints are looked at: {own}")
        yield self._item(
            "base_ejection_time", rules.base_ejection_time_s, "change", f"how long calls stay away at first: {own}"
        )
        yield self._item("max_ejection_percent", int(rules.max_ejection_percent), "change", whole)
        if self.overprovisioning is not None:
            bears = f"{first} bears so much of its peak, by its knee: what its endpoints that are left do not bear is moved"
            yield self._item("overprovisioning", self.overprovisioning, "change", bears)

    @cached_property
    def overprovisioning(self) -> int | None:
        """Per cent of its peak that the preferred place bears, by the knee; None for a single endpoint, and without a knee."""
        load = self.loads.get(self.target.callee)
        mine, every = len(self.known.endpoints(self.known.names[0])), self.known.calls["pod"].n_unique()
        if load is None or mine < 2:
            return None
        knee = load.wait_knee(self._confidence, 1)
        peak = self.sides[0].peak
        return None if knee.low is None or peak <= 0 else max(100, int(100.0 * knee.low * mine / every / peak))

    # Slowness

    @cached_property
    def timer_s(self) -> float | None:
        """A first-token timer that cuts no more calls than the budget allows; None where calls are too few for one."""
        first = self.known.of(self.known.names[0])
        found = waits(first).quantile(1.0 - self.observed.config.false_timeout_ratio(self.target.hop), self._confidence)
        return found.upper_s if found.status == "ok" else None

    @cached_property
    def by_slowness(self) -> Spill | None:
        """What would have been moved with such a timer."""
        return None if self.timer_s is None else self.trial.with_timer(self.timer_s)

    def _unplaced(self) -> str:
        lost = self.known.unplaced
        return f"; {count(lost)} failed calls reached nobody who names a cluster, and are left out" if lost else ""

    # Effects

    def _effects(self) -> dict[str, Effect]:
        (first, second), trial, days = self.sides, self.trial, max(self.trial.answers.span_s, 1.0) / DAY_S
        failed, skipped = float(trial.answers.failed.sum()) - trial.spared, trial.outcome.skipped
        instead = (second.failed.estimate, second.failed.low, second.failed.high)
        after, low, high = (failed + skipped * ratio for ratio in instead)
        effects = {
            "failed_calls": Effect(float(trial.answers.failed.sum()), after, after_low=low, after_high=high),
            "failovers_per_day": _per_day(len(trial.spill.failovers), days, self._confidence),
            "flaps_per_day": _per_day(trial.spill.flaps, days, self._confidence),
            "moved_ratio": Effect(0.0, trial.spill.moved / max(int(trial.is_first.sum()), 1)),
            "first_token_p95_s": Effect(
                first.first_token_p95.value_s,
                second.first_token_p95.value_s,
                first.first_token_p95.low_s,
                first.first_token_p95.high_s,
                second.first_token_p95.low_s,
                second.first_token_p95.high_s,
            ),
        }
        if first.cost is not None and second.cost is not None:
            now, then = first.cost, second.cost
            effects["token_cost_per_call"] = Effect(now.estimate, then.estimate, now.low, now.high, then.low, then.high)
        return effects

    def _item(
        self, setting: str, value: Value | None, status: Status, reason: str, effect: Mapping[str, Effect] | None = None
    ) -> Recommendation:
        current = self._current(setting)
        calls = 0 if self.places is None else self.places.calls.height
        cut = 0 if self.places is None else int(self.places.calls["outcome"].is_in(["timeout", "cancelled"]).sum())
        same = current is not None and value is not None and _same(current.value, value)
        return Recommendation.of(
            setting,
            value,
            target=self.target,
            current=current,
            status="keep" if same else status,
            confidence=self._confidence,
            reason=reason,
            evidence=Evidence(calls or self.observed.seen.get(self.target.hop, 0), cut, self.observed.window_s),
            effect=effect,
        )

    def _current(self, setting: str) -> Current | None:
        """What is deployed for the callee, or for the preferred place, whose name an AI gateway's backend has."""
        names = (self.target.callee, *(() if self.places is None else self.places.names[:1]))
        found = (self.observed.deployed.find(setting, name) for name in names)
        placed = next((each for each in found if each is not None), None)
        return Current.read(placed)


def _same(now: Value, wanted: Value) -> bool:
    """Whether what is deployed does the same; where it names fewer places, every other one comes last."""
    if isinstance(wanted, str):
        names = str(now).split(",")
        return names == wanted.split(",")[: len(names)]
    return float(now) == float(wanted)


def _per_day(events: int, days: float, confidence: float) -> Effect:
    """A rate with its exact limits. Source: Garwood 1936."""
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if events == 0 else float(gammaincinv(events, tail))
    high = float(gammaincinv(events + 1, 1.0 - tail))
    return Effect(0.0, events / days, after_low=low / days, after_high=high / days)


RECOMMENDER: Final = FailoverRecommender()
