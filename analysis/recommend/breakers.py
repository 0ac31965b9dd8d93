"""Circuit breakers: how many calls at a time a callee bears, from the knee of its first tokens over concurrency.

A breaker counts calls in each client proxy, so what the callee bears is shared among them. The whole call's duration says
nothing here: an answer is long because it is long. Beyond the limit a call is refused at once, and does not slow all others.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from meshslo.analysis.concurrency import littles_law, refused
from meshslo.analysis.interval import proportion
from meshslo.analysis.knee import FEWEST_LEVELS, Knee
from meshslo.analysis.policy.settings import SETTINGS
from meshslo.analysis.survival import LifeTable

from .load import CalleeLoad, loads_by_callee
from .observed import Observed
from .recommendation import Current, Effect, Evidence, Proposed, Recommendation, Status, Target
from .words import count, share

FEWEST_CALLS: Final = 300
"""Calls with a first token (or an answer) without which no knee is looked for: ten a block of time."""

SHARP_RATIO: Final = 2.0
"""A knee whose interval spans more than this ratio is not known."""

CONNECTIONS_PER_CALL: Final = 2
"""Connections beyond those in use, so that the limit on calls, which refuses at once, is met before the one that queues."""


class BreakerRecommender:
    """The recommender of circuit breakers."""

    kind = "breaker"
    plural = "breakers"

    def recommend(self, observed: Observed) -> Sequence[Recommendation]:
        """Limits of calls, of waiting calls and of connections for each hop, in order."""
        loads = loads_by_callee(observed.calls)
        found = [item for load in loads.values() for item in _Run(observed, load).answers()]
        return sorted(found, key=lambda item: (item.target.hop, SETTINGS[item.setting].code))


@dataclass(frozen=True, eq=False)
class _Run:
    """One callee."""

    observed: Observed
    load: CalleeLoad
    seed: int = field(default=1)

    @property
    def _confidence(self) -> float:
        return self.observed.config.objectives.confidence

    @cached_property
    def seen(self) -> int:
        """Calls whose wait is known."""
        return int(np.isfinite(self.load.wait_s).sum())

    @cached_property
    def knee(self) -> Knee:
        return self.load.wait_knee(self._confidence, self.seed)

    def answers(self) -> Iterator[Recommendation]:
        for hop in self.load.rows["hop"].unique().sort():
            yield from self._of(Target(str(hop)))

    def _of(self, target: Target) -> Iterator[Recommendation]:
        unknown = self._unknown(target)
        if unknown is not None:
            yield self._item(target, "max_concurrent_requests", None, unknown)
            return
        limit = self._limit(target)
        yield self._item(target, "max_concurrent_requests", limit, self._why(target, limit), self._effects())
        pending = f"a call waits only while its connection is made: as many as may run, {limit}; fewer refuses calls in a burst"
        yield self._item(target, "max_pending", limit, pending)
        connections = (
            f"twice the {limit} calls, so that HTTP/1.1 meets the limit of calls, which refuses at once, and not this one, "
            "behind which calls queue unseen"
        )
        yield self._item(target, "max_connections", CONNECTIONS_PER_CALL * limit, connections)

    def _unknown(self, target: Target) -> str | None:
        """Why there is no limit to recommend; None where there is one."""
        knee, waits = self.knee, self.load.waits
        peak = count(self.load.in_progress.peak)
        if self.seen < FEWEST_CALLS:
            more = count(FEWEST_CALLS - self.seen)
            return f"{more} more calls of {target.callee} are needed to see what load does to its {waits}"
        if knee.status == "unknown":
            return f"up to {peak} calls at a time were seen: more loads, {FEWEST_LEVELS} at least, are needed to see a knee"
        if knee.status == "none":
            return (
                f"no knee up to {peak} calls at a time: {waits} take as long there as at low load. A limit below that would "
                f"refuse calls for nothing; more load is needed to find one ({self._mean()})"
            )
        if knee.status == "everywhere":
            return (
                f"{waits} take longer with every call from the lowest load on: more calls at low load are needed to find a knee"
            )
        if knee.low and knee.high and knee.high > SHARP_RATIO * knee.low:
            return f"the knee lies between {knee.low:.3g} and {knee.high:.3g} calls at a time: more calls are needed to tell"
        return None

    def _proxies(self, target: Target) -> int:
        return self.observed.config.hop(target.hop).client_proxies or self.load.proxies.get(target.hop, 1)

    def _part(self, target: Target) -> float:
        """This hop's share of the callee's load."""
        held_s = self.load.rows.select("hop", held_s=pl.col("duration_s") * pl.col("weight"))
        return float(held_s.filter(pl.col("hop") == target.hop)["held_s"].sum()) / max(float(held_s["held_s"].sum()), 1e-9)

    @cached_property
    def total(self) -> int:
        """What the callee bears, over all its callers."""
        return max(1, math.ceil(self.knee.at or 1.0))

    def _limit(self, target: Target) -> int:
        return max(1, math.ceil(self.total * self._part(target) / self._proxies(target) - 1e-9))

    def _why(self, target: Target, limit: int) -> str:
        knee, waits = self.knee, self.load.waits
        grows = f"{waits} take {1 + (knee.rise_ratio or 0):.2g} times as long at {knee.up_to:.0f} calls at a time as at few"
        within = f"{knee.low:.3g} to {knee.high:.3g} with {share(self._confidence)} confidence"
        bend = f"they leave their level at {knee.at:.3g} ({within})"
        proxies = self._proxies(target)
        said = self.observed.config.hop(target.hop).client_proxies or target.hop in self.load.proxies
        unsaid = "" if said else " (no call names its caller's pod: hops.client_proxies in the config says how many there are)"
        each = f"{limit} for each of {proxies} client prox{'y' if proxies == 1 else 'ies'}{unsaid}, {self.total} in total"
        return f"{grows}; {bend}: {each}; {self._mean()}{self._tokens()}; {self._refusals()}"

    def _mean(self) -> str:
        progress = self.load.in_progress
        law = f"{self._by_littles_law():.3g} by Little's law from the rollup"
        return f"{progress.mean:.3g} calls in progress on average by sweep, {law}, {progress.peak:.0f} at most"

    def _by_littles_law(self) -> float:
        """Mean concurrency from rate and mean duration alone, as it follows from metrics without single calls."""
        totals = self.observed.rollup.where(pl.col("phase") == "total").by(("hop",)).pick_vantage().totals
        mine = totals.filter(pl.col("hop").is_in(self.load.rows["hop"].unique().to_list()) & pl.col("sum_s").is_not_null())
        calls = float(mine["count"].sum())
        return littles_law(calls / max(self.load.in_progress.span_s, 1e-9), float(mine["sum_s"].sum()) / max(calls, 1.0))

    def _tokens(self) -> str:
        """What load does to the time of a token, where tokens were seen."""
        knee = self.load.token_knee(self._confidence, self.seed)
        if knee.status == "none":
            return f"; a token takes as long at {knee.up_to:.0f} calls as at few"
        if knee.status == "found":
            return f"; a token takes longer from {knee.at:.3g} calls on ({knee.low:.3g} to {knee.high:.3g})"
        return "; a token takes longer with every call" if knee.status == "everywhere" else ""

    # What it would have done

    @cached_property
    def turned_away(self) -> tuple[int, int]:
        """Calls it would have refused had the others waited as at low load, and at most: had they taken as long as they did."""
        load = self.load
        ends = (load.unloaded_end_s(self.total), load.end_s)
        few, most = (int(refused(load.start_s, end_s, self.total).sum()) for end_s in ends)
        return min(few, most), most

    def _refusals(self) -> str:
        (few, most), calls = self.turned_away, self.load.rows.height
        return f"it would have refused {count(few)} of {count(calls)} calls ({share(few / calls)}), at most {count(most)}"

    def _effects(self) -> Mapping[str, Effect]:
        (few, most), calls = self.turned_away, self.load.rows.height
        low, high = float(proportion(few, calls, self._confidence)[0]), float(proportion(most, calls, self._confidence)[1])
        wait_s = self.load.wait_s
        known = np.isfinite(wait_s)
        before, after = (self._p95(wait_s[known & chosen]) for chosen in (True, self.load.met <= self.total))
        return {
            "refused_rate": Effect(before=0.0, after=few / calls, after_low=low, after_high=high),
            "wait_p95_s": Effect(before[0], after[0], before[1], before[2], after[1], after[2]),
        }

    def _p95(self, wait_s: NDArray[np.float64]) -> tuple[float | None, float | None, float | None]:
        found = LifeTable.from_durations(wait_s).quantile(0.95, self._confidence)
        return (found.value_s, found.low_s, found.high_s) if found.status == "ok" else (None, None, None)

    # Common

    def _item(
        self, target: Target, setting: str, value: int | None, reason: str, effect: Mapping[str, Effect] | None = None
    ) -> Recommendation:
        known, current = SETTINGS[setting], self._current(setting, target)
        return Recommendation(
            kind=known.kind,
            setting=known.name,
            code=known.code,
            target=target,
            current=current,
            proposed=None if value is None else Proposed(value, known.unit),
            status=self._status(value, current, setting, target),
            confidence=self._confidence,
            reason=reason,
            evidence=self._evidence(),
            effect=dict(effect or {}),
        )

    def _evidence(self) -> Evidence:
        rows, knee = self.load.rows, self.knee
        cut = int(rows["outcome"].is_in(["timeout", "cancelled"]).sum())
        return Evidence(rows.height, cut, self.observed.window_s, knee.at, knee.low, knee.high)

    def _status(self, value: int | None, current: Current | None, setting: str, target: Target) -> Status:
        """`keep` where what is deployed lies within the knee's interval."""
        if value is None:
            return "not_identifiable"
        if current is None:
            return "change"
        if setting != "max_concurrent_requests":
            return "keep" if float(current.value) >= value else "change"
        scale = self._part(target) / self._proxies(target)
        low, high = (self.knee.low or 0.0) * scale, math.ceil((self.knee.high or 0.0) * scale)
        return "keep" if min(low, value) <= float(current.value) <= max(high, value) else "change"

    def _current(self, setting: str, target: Target) -> Current | None:
        placed = self.observed.deployed.find(setting, target.callee)
        return None if placed is None else Current(placed.value, placed.unit, placed.source)


RECOMMENDER: Final = BreakerRecommender()
