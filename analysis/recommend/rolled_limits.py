"""Limits of calls at a time from metrics alone."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from meshslo.analysis.knee import FEWEST_BLOCKS, Knee

from .limits import SHARP_RATIO, Bearing, Case, Sought, no_knee
from .observed import Observed
from .recommendation import Evidence, Target
from .rolled import RolledLoad
from .words import count, figure, share


def bears(knee: Knee) -> Bearing | None:
    """What a callee bears at a time whose knee lies at so many calls on average; None where no knee is known.

    Around a mean of N calls in progress their number swings by the root of N, as that of independent arrivals does; a limit at
    the mean itself would refuse half of the time. On queues whose slots are known the sum is right to a fifth (see the tests).
    """
    if knee.at is None or knee.low is None or knee.high is None or knee.high > SHARP_RATIO * knee.low:
        return None
    return Bearing(*(mean + mean**0.5 for mean in (knee.at, knee.low, knee.high)))


@dataclass(frozen=True, eq=False)
class RolledBreaker:
    """One callee of which only metrics are known."""

    observed: Observed
    load: RolledLoad
    seed: int = field(default=1)

    @cached_property
    def knee(self) -> Knee:
        """From how many calls in progress on average waits take longer."""
        return self.load.knee(self._confidence, self.seed)

    def cases(self) -> Iterator[Case]:
        """Its hops, in order. What a limit would have done is not known without single calls."""
        found, held_s = bears(self.knee), self.load.held_s
        ends = (None, None, None) if found is None else (found.at, found.low, found.high)
        evidence = Evidence(self.load.calls, 0, self.observed.window_s, *ends)
        for hop, seconds in held_s.items():
            proxies = self.observed.config.hop(hop).client_proxies
            reason = self._unknown() if found is None else self._why(found, proxies)
            yield Case(Target(hop), found, seconds / max(sum(held_s.values()), 1e-9), proxies or 1, reason, evidence)

    @property
    def _confidence(self) -> float:
        return self.observed.config.objectives.confidence

    def _unknown(self) -> str:
        """Why there is no limit to recommend."""
        knee, waits, most = self.knee, self.load.waits, f"{self.load.peak:.3g}"
        if knee.status == "unknown":
            return (
                f"{self.load.rows.height} stretches of {self.load.bucket} with {count(self.load.calls)} calls are known, up to "
                f"{most} calls in progress: more, {FEWEST_BLOCKS} at least, at different loads, are needed to see a knee"
            )
        return no_knee(knee, Sought(waits, "calls in progress on average", most, self._mean(), "time"))

    def _why(self, found: Bearing, proxies: int | None) -> str:
        knee, waits = self.knee, self.load.waits
        grows = (
            f"{waits} take {figure(1 + (knee.rise_ratio or 0))} times as long at {knee.up_to:.3g} calls in progress as at few"
        )
        within = f"{knee.low:.3g} to {knee.high:.3g} with {share(self._confidence)} confidence"
        bend = f"they leave their level at {knee.at:.3g} on average ({within})"
        unsaid = "" if proxies else " (metrics do not say how many there are: hops.client_proxies in the config does)"
        each = f"{found.total} at a time, the mean and its swing, shared by {proxies or 1} client proxies{unsaid}"
        return f"{grows}; {bend}: {each}; {self._mean()}{self._caution()}"

    def _mean(self) -> str:
        load = self.load
        law = f"{load.mean:.3g} calls in progress on average by Little's law"
        return f"{law}, {load.peak:.3g} in the busiest {load.bucket}, from metrics alone"

    def _caution(self) -> str:
        if self.load.waits != "whole calls":
            return ""
        return (
            "; these metrics time whole calls only, and busy times with longer answers would look the same: first tokens "
            "(`observe_stream`, a model server's own metrics) or single calls tell them apart"
        )
