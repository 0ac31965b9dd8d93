"""Circuit breakers: how many calls at a time a callee bears, from the knee of its first tokens over concurrency.

A breaker counts calls in each client proxy, so what the callee bears is shared among them. The whole call's duration says
nothing here: an answer is long because it is long. Beyond the limit a call is refused at once, and does not slow all others.
Where only metrics exist, concurrency follows from Little's law (`rolled`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from meshslo.analysis.concurrency import littles_law, refused
from meshslo.analysis.interval import proportion
from meshslo.analysis.knee import FEWEST_LEVELS, Knee, Peak
from meshslo.analysis.policy.settings import SETTINGS
from meshslo.analysis.survival import LifeTable

from .limits import SHARP_RATIO, Bearing, Case, Sought, limit_of, limits, no_knee
from .load import CalleeLoad
from .observed import Observed
from .recommendation import Effect, Evidence, Recommendation, Target
from .rolled import RolledLoad, loads_from_series
from .rolled_limits import RolledBreaker, bears
from .words import count, figure, share

FEWEST_CALLS: Final = 300
"""Calls with a first token (or an answer) without which no knee is looked for: ten a block of time."""


class BreakerRecommender:
    """The recommender of circuit breakers."""

    kind = "breaker"
    plural = "breakers"
    from_metrics = True

    def recommend(self, observed: Observed) -> Sequence[Recommendation]:
        """Limits of calls, of waiting calls and of connections for each hop, in order."""
        loads, rolled = observed.loads, loads_from_series(observed.series)
        cases = [case for callee, load in loads.items() for case in CallBreaker(observed, load, rolled.get(callee)).cases()]
        metered = (RolledBreaker(observed, load) for callee, load in rolled.items() if callee not in loads)
        cases += [case for breaker in metered for case in breaker.cases()]
        found = [item for case in cases for item in limits(observed, case)]
        return sorted(found, key=lambda item: (item.target.hop, SETTINGS[item.setting].code))


@dataclass(frozen=True, eq=False)
class CallBreaker:
    """One callee whose single calls are known; `rolled` is what metrics say of it, where there are any."""

    observed: Observed
    load: CalleeLoad
    rolled: RolledLoad | None = None
    seed: int = field(default=1)

    def cases(self) -> Iterator[Case]:
        """Its hops, in order."""
        for hop in self.load.rows["hop"].unique().sort():
            target = Target(str(hop))
            part, proxies, found = self._part(target), self._proxies(target), self.bearing
            reason = self._unknown(target) if found is None else self._why(target, limit_of(found, part, proxies))
            effect = {} if found is None else self._effects()
            yield Case(target, found, part, proxies, reason, self._evidence(), effect)

    @property
    def _confidence(self) -> float:
        return self.observed.config.objectives.confidence

    @cached_property
    def seen(self) -> int:
        """Calls whose wait is known."""
        return int(np.isfinite(self.load.wait_s).sum())

    @cached_property
    def knee(self) -> Knee:
        """From how many calls on they wait longer."""
        return self.load.wait_knee(self._confidence, self.seed)

    @cached_property
    def peak(self) -> Peak:
        """At how many calls most is done."""
        return self.load.peak(self._confidence, self.seed)

    @cached_property
    def _by_the_law(self) -> bool:
        """Whether waits rise smoothly, so that a knee would be made up.

        The peak is that of what waits are of where nothing streams; else it is that of tokens, and first tokens come first.
        """
        smooth = self.load.waits == "answers" or self.knee.status == "everywhere"
        return smooth and self.peak.status == "found"

    @cached_property
    def bearing(self) -> Bearing | None:
        """The knee; where waits have no level to leave, the peak of throughput."""
        found = self.peak if self._by_the_law else self.knee
        if self.seen < FEWEST_CALLS or found.at is None or found.low is None or found.high is None:
            return None
        return None if found.high > SHARP_RATIO * found.low else Bearing(found.at, found.low, found.high)

    def _unknown(self, target: Target) -> str:
        knee, waits = self.knee, self.load.waits
        peak = count(self.load.in_progress.peak)
        if self.seen < FEWEST_CALLS:
            more = count(FEWEST_CALLS - self.seen)
            return f"{more} more calls of {target.callee} are needed to see what load does to its {waits}"
        if knee.status == "unknown":
            return f"up to {peak} calls at a time were seen: more loads, {FEWEST_LEVELS} at least, are needed to see a knee"
        # Where waits rise from the start, throughput may still have a peak.
        peaks = f", or more than {peak} calls at a time to find a peak of throughput" if knee.status == "everywhere" else ""
        return f"{no_knee(knee, Sought(waits, 'calls at a time', peak, self._mean(), 'calls'))}{peaks}"

    def _proxies(self, target: Target) -> int:
        return self.observed.config.hop(target.hop).client_proxies or self.load.proxies.get(target.hop, 1)

    def _part(self, target: Target) -> float:
        held_s = self.load.rows.select("hop", held_s=pl.col("duration_s") * pl.col("weight"))
        return float(held_s.filter(pl.col("hop") == target.hop)["held_s"].sum()) / max(float(held_s["held_s"].sum()), 1e-9)

    def _why(self, target: Target, limit: int) -> str:
        proxies = self._proxies(target)
        said = self.observed.config.hop(target.hop).client_proxies or target.hop in self.load.proxies
        unsaid = "" if said else " (no call names its caller's pod: hops.client_proxies in the config says how many there are)"
        each = (
            f"{limit} for each of {proxies} client prox{'y' if proxies == 1 else 'ies'}{unsaid}, {self._bears.total} in total"
        )
        return f"{self._bend()}: {each}; {self._mean()}{self._by_metrics()}{self._tokens()}; {self._refusals()}"

    @property
    def _bears(self) -> Bearing:
        assert self.bearing is not None  # noqa: S101 - asked only where it is known
        return self.bearing

    def _bend(self) -> str:
        knee, waits, found = self.knee, self.load.waits, self._bears
        grows = f"{waits} take {figure(1 + (knee.rise_ratio or 0))} times as long at {knee.up_to:.0f} calls at a time as at few"
        within = f"{found.low:.3g} to {found.high:.3g} with {share(self._confidence)} confidence"
        if self._by_the_law:
            return f"{grows}, and longer with every call; most is done at {found.at:.3g} ({within}, universal scalability law)"
        return f"{grows}; they leave their level at {found.at:.3g} ({within})"

    def _mean(self) -> str:
        progress = self.load.in_progress
        law = f"{self._by_littles_law():.3g} by Little's law from the rollup"
        return f"{progress.mean:.3g} calls in progress on average by sweep, {law}, {progress.peak:.0f} at most"

    def _by_littles_law(self) -> float:
        """Mean concurrency from rate and mean duration alone, as it follows from metrics without single calls."""
        totals = self.observed.whole_by_hop.totals
        mine = totals.filter(pl.col("hop").is_in(self.load.rows["hop"].unique().to_list()) & pl.col("sum_s").is_not_null())
        calls = float(mine["count"].sum())
        return littles_law(calls / max(self.load.in_progress.span_s, 1e-9), float(mine["sum_s"].sum()) / max(calls, 1.0))

    def _by_metrics(self) -> str:
        """What metrics alone would say, where there are any of this callee."""
        found = None if self.rolled is None else bears(self.rolled.knee(self._confidence, self.seed))
        return "" if found is None else f"; metrics alone say {found.total} in total ({found.low:.3g} to {found.high:.3g})"

    def _tokens(self) -> str:
        """What load does to the time of a token, where tokens were seen."""
        knee, peak = self.load.token_knee(self._confidence, self.seed), self.peak
        most = ""
        if peak.status == "found" and not self._by_the_law:
            most = f", and most are made at {peak.at:.3g} calls ({peak.low:.3g} to {peak.high:.3g}, universal scalability law)"
        if knee.status == "none":
            return f"; a token takes as long at {knee.up_to:.0f} calls as at few{most}"
        if knee.status == "found":
            return f"; a token takes longer from {knee.at:.3g} calls on ({knee.low:.3g} to {knee.high:.3g}){most}"
        return f"; a token takes longer with every call{most}" if knee.status == "everywhere" else ""

    # What it would have done

    @cached_property
    def turned_away(self) -> tuple[int, int]:
        """Calls it would have refused had the others waited as at low load, and at most: had they taken as long as they did."""
        load, total = self.load, self._bears.total
        ends = (load.unloaded_end_s(total), load.end_s)
        few, most = (int(refused(load.start_s, end_s, total).sum()) for end_s in ends)
        return min(few, most), most

    def _refusals(self) -> str:
        (few, most), calls = self.turned_away, self.load.rows.height
        return f"it would have refused {count(few)} of {count(calls)} calls ({share(few / calls)}), at most {count(most)}"

    def _effects(self) -> Mapping[str, Effect]:
        (few, most), calls = self.turned_away, self.load.rows.height
        low, high = float(proportion(few, calls, self._confidence)[0]), float(proportion(most, calls, self._confidence)[1])
        wait_s = self.load.wait_s
        known = np.isfinite(wait_s)
        before, after = (self._p95(wait_s[known & chosen]) for chosen in (True, self.load.met <= self._bears.total))
        return {
            "refused_rate": Effect(before=0.0, after=few / calls, after_low=low, after_high=high),
            "wait_p95_s": Effect(before[0], after[0], before[1], before[2], after[1], after[2]),
        }

    def _p95(self, wait_s: NDArray[np.float64]) -> tuple[float | None, float | None, float | None]:
        found = LifeTable.from_durations(wait_s).quantile(0.95, self._confidence)
        return (found.value_s, found.low_s, found.high_s) if found.status == "ok" else (None, None, None)

    def _evidence(self) -> Evidence:
        rows, found = self.load.rows, self.bearing
        cut = int(rows["outcome"].is_in(["timeout", "cancelled"]).sum())
        ends = (found.at, found.low, found.high) if found else (self.knee.at, self.knee.low, self.knee.high)
        return Evidence(rows.height, cut, self.observed.window_s, *ends)


RECOMMENDER: Final = BreakerRecommender()
