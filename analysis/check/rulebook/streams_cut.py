"""MS113: a total timeout that cuts calls which would have gone on."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject
from meshslo.analysis.interval import proportion
from meshslo.analysis.recommend.current import Timers
from meshslo.analysis.recommend.observed import Observed
from meshslo.analysis.recommend.recommendation import Target
from meshslo.analysis.recommend.words import count, seconds, share


def _find(subject: Subject) -> Iterator[Hit]:
    """Each target whose own timer did so, beyond chance; nothing without calls."""
    if subject.observed is None:
        return
    timers = Timers(subject.observed)
    for hop, route in subject.observed.routes:
        hit = _inspect(Target(hop, route), subject.observed, timers)
        if hit is not None:
            yield hit


def _inspect(target: Target, observed: Observed, timers: Timers) -> Hit | None:
    placed = observed.deployed.find("total_timeout", target.callee, target.route)
    if placed is None:
        return None
    cut = timers.cut_here("total_timeout", target)
    calls = sum(observed.tables("total").outcomes(target.hop, target.route).values())
    low, high = proportion(cut, max(calls, 1), observed.config.objectives.confidence)
    budget = observed.config.false_timeout_ratio(target.hop)
    if not cut or float(low) <= budget:
        return None
    rate = f"{share(float(low))} to {share(float(high))}, {share(budget)} are allowed"
    timer = f"this {seconds(float(placed.value))} timeout"
    return Hit(placed.source, f"{timer} cut {count(cut)} of {count(calls)} calls of {target} ({rate})", confirmed=True)


RULE = Rule(
    code="MS113",
    name="streams-cut",
    severity="error",
    finds="A timer that cut more calls than the false-timeout budget allows, beyond chance. Needs a store.",
    why="A stream that a timer cuts is logged as 200 and looks short: no percentile of finished calls shows it.",
    instead="what `meshslo recommend timeouts` says: first a longer one that shows the tail, then one that fits it",
    evidence="nicolerenee/infra#2078; router.cc in Envoy: a reset after headers leaves the logged status at 200, flag UT.",
    find=_find,
    needs_calls=True,
)
