"""Locality: whether calls may stay in their caller's zone, from who calls whom across zones and what each zone's pods bear.

Staying is faster and spares money where crossing costs; it fits where each zone bears what its own callers ask of it. Where it
does, priorities keep calls in the zone and let them out when its pods are gone; where it does not, weights send the rest away.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl

from meshslo.analysis.concurrency import sweep
from meshslo.analysis.ejection.unlike import Slow, slow_pods
from meshslo.analysis.policy.zones import Weights, parse_weights, write_weights
from meshslo.analysis.quantile import calls_needed
from meshslo.analysis.zones import DAY_S, zone_pairs

from .load import CalleeLoad
from .observed import Observed
from .outliers import MOST_OUT
from .recommendation import Current, Effect, Evidence, Recommendation, Status, Target, Value
from .words import amount, count, share

FEWEST_OF_PAIR: Final = calls_needed(0.95)
"""Calls from a zone without which its load is not known."""

BEYOND_SEEN: Final = 1.25
"""Without a knee pods may get so much more than the most they were seen with: the peaks of two windows differ by as much."""

PRIORITY: Final = "topology.kubernetes.io/region,topology.kubernetes.io/zone"
"""Pods of the caller's own zone first, then of its region, then any. Source: Istio, localityLbSetting.failoverPriority."""

NEEDS_EJECTION: Final = (
    "without outlier detection no pod is ever found gone, and calls stay with a sick zone (recommend outliers)"
)


class LocalityRecommender:
    """The recommender of locality."""

    kind = "locality"
    plural = "localities"

    def recommend(self, observed: Observed) -> Sequence[Recommendation]:
        """Priorities or weights of each hop, in order."""
        pairs = zone_pairs(observed.calls)
        loads = {} if pairs.is_empty() else observed.loads
        hops = observed.calls.select(pl.col("hop").unique().sort()).collect()["hop"].to_list()
        runs = (_Run(observed, Target(hop), pairs.filter(pl.col("hop") == hop), loads) for hop in hops)
        return [item for run in runs for item in run.items()]


@dataclass(frozen=True, eq=False)
class _Run:
    """One hop; `pairs` are its calls with both zones."""

    observed: Observed
    target: Target
    pairs: pl.DataFrame
    loads: Mapping[str, CalleeLoad]

    def items(self) -> Iterator[Recommendation]:
        """The answer, and the ejection without which the largest zone is never left."""
        found = self.item()
        yield found
        largest, every = max(self.pods.values(), default=0), sum(self.pods.values())
        if found.setting == "locality_failover_priority" and found.proposed is not None and largest > MOST_OUT * every:
            percent = math.ceil(100.0 * largest / every)
            why = f"{largest} of {every} pods are in one zone: all of them may be out, or calls there stay with the sick ones"
            yield self._answer("max_ejection_percent", percent, "change", why)

    def item(self) -> Recommendation:
        why = self._unknown()
        if why is not None:
            return self._answer("locality_failover_priority", None, "not_identifiable", why)
        if len(self.pods) < 2:
            (zone,) = self.pods
            one = f"{self.target.callee} runs in {zone} alone: there is nothing to choose"
            return self._answer("locality_failover_priority", None, "keep", one)
        if self.bears is None:
            more = "more calls at different loads are needed to know what a zone bears"
            return self._answer("locality_failover_priority", None, "not_identifiable", f"{self._matrix()}; {more}")
        return self._placed(self.bears)

    def _placed(self, bears: Mapping[str, float]) -> Recommendation:
        if set(self.asked) <= set(bears) and all(asked <= bears[zone] for zone, asked in self.asked.items()):
            fits = f"each zone bears what its own callers ask ({self._fit(bears)})"
            reason = f"{self._matrix()}; {fits}: calls stay, and leave when its pods are gone; {NEEDS_EJECTION}"
            staying = self._effects({zone: {zone: 100} for zone in self.asked})
            return self._answer("locality_failover_priority", PRIORITY, "change", reason, staying)
        together, borne = _peak(self._timed), sum(bears.values())
        if together > borne:
            full = f"all zones together are asked for {together:.0f} calls at a time and bear {borne:.0f}: no weights mend that"
            reason = f"{self._matrix()}; {full}; more pods do, or a limit that refuses the rest at once (recommend breakers)"
            return self._answer("locality_distribute", None, "keep", reason)
        kept = {zone: min(1.0, bears.get(zone, 0.0) / max(peak, 1e-9)) for zone, peak in self.asked.items()}
        beyond = f"not every zone bears what its own callers ask ({self._fit(bears)})"
        reason = f"{self._matrix()}; {beyond}: the rest goes where there is room"
        weights = self._weights(kept, bears)
        return self._answer("locality_distribute", write_weights(weights), "change", reason, self._effects(weights))

    def _unknown(self) -> str | None:
        if self.pairs.height < FEWEST_OF_PAIR:
            more = count(FEWEST_OF_PAIR - self.pairs.height)
            return f"{more} more calls that name the zones of both sides (cloud.availability_zone) are needed"
        by_zone = self.pairs.group_by("from_zone").len().sort("len", "from_zone")
        zone, calls = by_zone.row(0)
        if calls < FEWEST_OF_PAIR:
            return f"{count(FEWEST_OF_PAIR - calls)} more calls from {zone} are needed to know what it asks"
        return None

    # What is asked, and what is borne

    @cached_property
    def pods(self) -> dict[str, int]:
        """Pods of the callee by zone."""
        counted = self.pairs.group_by("to_zone").agg(pl.col("callee_pod").n_unique()).sort("to_zone")
        return {str(zone): int(pods) for zone, pods in counted.iter_rows()}

    @cached_property
    def asked(self) -> dict[str, float]:
        """The most calls in progress at a time that each zone's callers asked for."""
        parts = self._timed.partition_by("from_zone", as_dict=True).items()
        peaks = {str(zone): _peak(part) for (zone,), part in parts}
        return dict(sorted(peaks.items()))

    @cached_property
    def bears(self) -> dict[str, float] | None:
        """Calls at a time each zone bears: its pods' share of the knee; without a knee, the most each pod was seen with.

        None where what load does is not known.
        """
        load = self.loads.get(self.target.callee)
        knee = None if load is None else load.wait_knee(self.observed.config.objectives.confidence, 1)
        if knee is not None and knee.low is not None:
            return {zone: pods * knee.low / sum(self.pods.values()) for zone, pods in self.pods.items()}
        if knee is None or knee.status != "none":
            return None
        parts = self._timed.partition_by("to_zone", "callee_pod", as_dict=True).items()
        peaks = [(str(zone), _peak(part)) for (zone, _), part in parts]
        return {zone: BEYOND_SEEN * sum(peak for where, peak in peaks if where == zone) for zone in self.pods}

    @cached_property
    def _timed(self) -> pl.DataFrame:
        """The pairs with `start_s`."""
        start_s = pl.col("start").sub(pl.col("start").min()).dt.total_nanoseconds() * 1e-9
        return self.pairs.with_columns(start_s=start_s)

    def _weights(self, kept: Mapping[str, float], bears: Mapping[str, float]) -> dict[str, dict[str, int]]:
        """Per cent of each zone's calls to each zone: what does not fit goes by the room that others have left."""
        room = {zone: max(0.0, bears[zone] - kept.get(zone, 0.0) * self.asked.get(zone, 0.0)) for zone in self.pods}
        return {zone: _percents(zone, kept[zone], room) for zone in self.asked}

    # Words

    def _matrix(self) -> str:
        calls = self.pairs.height
        own = int((self.pairs["from_zone"] == self.pairs["to_zone"]).sum())
        crossing = self._crossing()
        slower = "crossing shows no surely longer wait"
        if crossing is not None:
            slower = f"crossing takes {crossing.ratio:.2f} times as long ({crossing.low:.2f} to {crossing.high:.2f})"
        return f"{share(own / calls)} of {count(calls)} calls stay in their zone; {slower}{self._errors()}{self._money()}"

    def _crossing(self) -> Slow | None:
        """How much slower crossing is, among calls of one kind at one time."""
        sides = pl.when(pl.col("from_zone") == pl.col("to_zone")).then(pl.lit("own")).otherwise(pl.lit("crossing"))
        found = slow_pods(self.pairs.with_columns(sides.alias("pod")), confidence=self.observed.config.objectives.confidence)
        return next((each for each in found if each.pod == "crossing"), None)

    def _errors(self) -> str:
        failed = self.pairs.group_by(pl.col("from_zone") == pl.col("to_zone")).agg((pl.col("outcome") == "error").mean())
        shares = {bool(own): float(ratio) for own, ratio in failed.iter_rows()}
        if len(shares) < 2:
            return ""
        return f"; {share(shares[False])} of those that cross fail, {share(shares[True])} of those that stay"

    def _fit(self, bears: Mapping[str, float]) -> str:
        zones = sorted(set(self.pods) | set(self.asked))
        return ", ".join(f"{zone} {self.asked.get(zone, 0.0):.0f} of {bears.get(zone, 0.0):.0f} at a time" for zone in zones)

    def _money(self) -> str:
        now = self._cost_per_day(self._now)
        return "" if now is None else f"; crossing costs {amount(now)} a day, of the calls whose zones are known"

    @cached_property
    def _now(self) -> Mapping[str, Mapping[str, float]]:
        """Calls of each zone to each zone."""
        counted = (
            self.pairs.group_by("from_zone", "to_zone").agg(pl.col("weight").fill_null(1.0).sum()).sort("from_zone", "to_zone")
        )
        found: dict[str, dict[str, float]] = {}
        for zone, other, calls in counted.iter_rows():
            found.setdefault(str(zone), {})[str(other)] = float(calls)
        return found

    def _cost_per_day(self, calls: Mapping[str, Mapping[str, float]]) -> float | None:
        """Money for calls between zones; None where the price of any of those that were seen is not known."""
        prices = self.observed.config.prices
        if any(prices.crossing(zone, other) is None for zone, parts in self._now.items() for other in parts):
            return None
        paid = sum(
            number * (prices.crossing(zone, other) or 0.0) for zone, parts in calls.items() for other, number in parts.items()
        )
        return paid * DAY_S / max(self.observed.window_s, 1.0)

    def _effects(self, weights: Weights) -> dict[str, Effect]:
        """Calls that cross, and their money, now and under such weights."""
        asked = {zone: sum(parts.values()) for zone, parts in self._now.items()}
        after = {z: {other: asked[z] * part / 100.0 for other, part in parts.items()} for z, parts in weights.items()}
        effects = {"crossing_ratio": Effect(_crossing_ratio(self._now), _crossing_ratio(after))}
        costs = self._cost_per_day(self._now), self._cost_per_day(after)
        return effects if costs[0] is None else effects | {"crossing_cost_per_day": Effect(*costs)}

    def _answer(
        self, setting: str, value: Value | None, status: Status, reason: str, effect: Mapping[str, Effect] | None = None
    ) -> Recommendation:
        seen = self.pairs.height or self.observed.seen.get(self.target.hop, 0)
        placed = self.observed.deployed.find(setting, self.target.callee)
        current = Current.read(placed)
        return Recommendation.of(
            setting,
            value,
            target=self.target,
            current=current,
            status="keep" if current is not None and value is not None and _same(setting, current.value, value) else status,
            confidence=self.observed.config.objectives.confidence,
            reason=reason,
            evidence=Evidence(seen, 0, self.observed.window_s),
            effect=effect,
        )


def _same(setting: str, now: Value, wanted: Value) -> bool:
    """Whether what is deployed does the same; one proxy's own configuration has the weights of its own zone alone."""
    if setting != "locality_distribute":
        return now == wanted
    every = parse_weights(str(wanted))
    return all(every.get(zone) == parts for zone, parts in parse_weights(str(now)).items())


def _crossing_ratio(calls: Mapping[str, Mapping[str, float]]) -> float:
    """Share of the calls that leave their zone.

    >>> _crossing_ratio({"a": {"a": 3.0, "b": 1.0}})
    0.25
    """
    whole = sum(sum(parts.values()) for parts in calls.values())
    return 1.0 - sum(parts.get(zone, 0.0) for zone, parts in calls.items()) / max(whole, 1e-9)


def _peak(calls: pl.DataFrame) -> float:
    start_s = calls["start_s"].to_numpy()
    return sweep(start_s, start_s + calls["duration_s"].to_numpy()).peak


def _percents(zone: str, kept: float, room: Mapping[str, float]) -> dict[str, int]:
    """Whole per cent that add up to 100: what is kept, and the rest by room."""
    others = {other: space for other, space in room.items() if other != zone and space > 0.0}
    own = 100 if not others else max(1, math.floor(100.0 * kept)) if zone in room else 0
    spread = np.array([*others.values()]) / sum(others.values()) * (100 - own) if others else np.empty(0)
    whole = np.floor(spread).astype(int)
    # What rounding left over goes to the largest remainders.
    for place in np.argsort(whole - spread)[: 100 - own - int(whole.sum())]:
        whole[place] += 1
    shares = {zone: own} | {other: int(part) for other, part in zip(others, whole, strict=True)}
    return {name: part for name, part in shares.items() if part > 0}


RECOMMENDER: Final = LocalityRecommender()
