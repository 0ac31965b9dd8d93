"""What calls show about timers: shares of calls that would go on when a deployed timer fires."""

from collections.abc import Iterator
from dataclasses import dataclass

from meshslo.analysis.policy.values import Placed
from meshslo.analysis.quantile import Interval
from meshslo.analysis.recommend.observed import Observed, Tables
from meshslo.analysis.recommend.recommendation import Target
from meshslo.analysis.recommend.words import count, seconds, share

from .rule import Subject


@dataclass(frozen=True)
class Beyond:
    """A timer, the calls it is for, and the share of them that lasts longer than it."""

    target: Target
    placed: Placed
    longer: Interval
    allowed: float
    calls: int

    @property
    def sentence(self) -> str:
        """What is longer, with its interval and the budget, in words."""
        band = f"{share(self.longer.low)} to {share(self.longer.high)} of {count(self.calls)} calls"
        return (
            f"longer than {seconds(float(self.placed.value))} are {band} of {self.target} ({share(self.allowed)} are allowed)"
        )


def beyond(subject: Subject, observed: Observed, setting: str, tables: Tables) -> Iterator[Beyond]:
    """Each hop and route of which surely more calls last longer than its deployed timer than the budget allows."""
    for hop, route in observed.routes:
        target = Target(hop, route)
        placed = subject.deployed.find(setting, target.callee, route)
        if placed is None:
            continue
        table = tables.careful(hop, route)
        longer = table.exceedance(float(placed.value), observed.config.objectives.confidence)
        allowed = observed.config.false_timeout_ratio(hop)
        if table.calls and longer.low > allowed:
            yield Beyond(target, placed, longer, allowed, table.calls)
