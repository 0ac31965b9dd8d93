"""MS113: a total timeout that cuts calls which would have gone on."""

from collections.abc import Iterator

from meshslo.analysis.interval import proportion
from meshslo.analysis.recommend.current import Timers
from meshslo.analysis.recommend.recommendation import Target
from meshslo.analysis.recommend.words import count, seconds, share

from . import Finding, Subject, at, once


class StreamsCut:
    """A timer that cut more calls than the false-timeout budget allows, beyond chance."""

    code = "MS113"
    name = "streams-cut"
    why = "a stream that a timer cuts is logged as 200 and looks short: no percentile of finished calls shows it"

    def find(self, subject: Subject) -> Iterator[Finding]:
        """Each target whose own timer did so; nothing without calls."""
        if subject.observed is None:
            return
        yield from once(
            [found for hop, route in subject.observed.routes if (found := self._finding(Target(hop, route), subject))]
        )

    def _finding(self, target: Target, subject: Subject) -> Finding | None:
        observed = subject.observed
        placed = subject.deployed.find("total_timeout", target.callee, target.route)
        if observed is None or placed is None:
            return None
        cut = Timers(observed).cut_here("total_timeout", target)
        calls = sum(observed.tables("total").outcomes(target.hop, target.route).values())
        low, high = proportion(cut, max(calls, 1), observed.config.objectives.confidence)
        budget = observed.config.false_timeout_ratio(target.hop)
        if not cut or float(low) <= budget:
            return None
        file, line = at(placed.source)
        timer = f"this {seconds(float(placed.value))} timeout"
        rate = f"{share(float(low))} to {share(float(high))}, {share(budget)} are allowed"
        return Finding(
            code=self.code,
            severity="error",
            file=file,
            line=line,
            message=f"{timer} cut {count(cut)} of {count(calls)} calls of {target} ({rate})",
            instead="what `meshslo recommend timeouts` says: first a longer one that shows the tail, then one that fits it",
            confirmed=True,
        )


RULE = StreamsCut()
