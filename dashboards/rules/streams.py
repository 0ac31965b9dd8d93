"""Alerts that need no objective: streams cut by timers, calls repeated too often, a tail that cuts hide."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from meshslo.analysis.config import Config
from meshslo.analysis.slo.windows import FEWEST_FAILURES
from meshslo.telemetry.vocabulary import Outcome

from . import Producer, Retries
from .indicators import matcher_of_hop
from .outcomes import outcome_matchers
from .runbooks import AMPLIFIED, REFUSED, STREAMS_CUT, TAIL_HIDDEN

WINDOW: Final = "1h"
SOME: Final = f"> {FEWEST_FAILURES - 0.5:g}"
"""Fewer calls than this are no share of anything."""

HIDES_P99: Final = 0.01
"""Share of calls that were cut above which p99 lies, for all that is known, among those nobody saw the end of."""

Rule = dict[str, Any]


def streams_group(producer: Producer, config: Config, vantage: str) -> dict[str, Any]:
    """The rule group; `vantage` is the matcher of who is asked."""
    alerts = _Alerts(producer, config, vantage)
    return {"name": "meshslo-streams", "rules": list(alerts.rules())}


def left_out(producer: Producer) -> Iterator[str]:
    """Sentences on alerts that the producer's metrics cannot carry."""
    if not _tells_cuts(producer):
        yield f"no alert on streams cut by timers: {producer.name} does not say which calls a timer ended"
    if producer.retries is None:
        yield f"no alert on amplification: {producer.name} counts no retries"
    if producer.retries is None or producer.retries.refused is None:
        yield f"no alert on exhausted retry budgets: {producer.name} does not count refused retries (--producer envoy does)"


def _tells_cuts(producer: Producer) -> bool:
    return producer.cut_streams is not None or bool(outcome_matchers(producer.outcomes, ["timeout"]))


class _Alerts:
    def __init__(self, producer: Producer, config: Config, vantage: str) -> None:
        self._producer, self._config, self._vantage = producer, config, vantage

    def rules(self) -> Iterator[Rule]:
        """The recording rules and alerts."""
        if _tells_cuts(self._producer):
            yield from self._cut()
        yield from self._hidden()
        if self._producer.retries:
            yield from self._amplified(self._producer.retries)
        if self._producer.retries and self._producer.retries.refused:
            yield self._refused(self._producer.retries, self._producer.retries.refused)

    def _cut(self) -> Iterator[Rule]:
        producer = self._producer
        cut = self._sum([producer.cut_streams]) if producer.cut_streams else self._ended(["timeout"])
        yield self._record("cut:increase", cut)
        yield self._record("cut:ratio", self._share("cut:increase", self._ended()))
        usual = self._config.objectives.false_timeout_ratio
        ratios = {hop: self._config.false_timeout_ratio(hop) for hop in self._config.hops}
        own = {hop: ratio for hop, ratio in ratios.items() if ratio != usual}
        apart = "".join(f" unless {self._of('cut:ratio', matcher_of_hop(producer, hop))}" for hop in own)
        yield self._cut_alert(f"({self._of('cut:ratio')}{apart}) > {usual:g}", usual)
        for ratio in sorted(set(own.values())):
            hops = (self._of("cut:ratio", matcher_of_hop(producer, hop)) for hop, each in own.items() if each == ratio)
            yield self._cut_alert(f"({' or '.join(hops)}) > {ratio:g}", ratio)

    def _cut_alert(self, expr: str, ratio: float) -> Rule:
        summary = f"Timers cut more than {ratio:g} of the calls of {self._place()}"
        description = (
            f"{{{{ $value | humanizePercentage }}}} of the calls in the last {WINDOW} were ended by a timer; the false-timeout "
            f"budget is {ratio:g}. Some may have hung: then the callee is at fault, not the timer."
        )
        some = f"({expr}) and {self._of('cut:increase')} {SOME}"
        alert = self._alert("MeshsloStreamsCut", some, summary, description, STREAMS_CUT)
        # Rules of one name must differ in a label.
        return {**alert, "labels": {**alert["labels"], "budget": f"{ratio:g}"}}

    def _hidden(self) -> Iterator[Rule]:
        cut, known = self._ended(["timeout", "cancelled"]), self._ended(["ok", "timeout", "cancelled"])
        yield self._record("censored:increase", cut)
        yield self._record("censored:ratio", self._share("censored:increase", known))
        yield self._alert(
            "MeshsloTailHidden",
            f"{self._of('censored:ratio')} > {HIDES_P99:g} and {self._of('censored:increase')} {SOME}",
            f"p99 of {self._place()} cannot be read from its histogram",
            "{{ $value | humanizePercentage }} of calls were cut or left before they ended, more than 1 %: any p99 from the "
            "histogram is a lower bound, and falls when a timeout is shortened.",
            TAIL_HIDDEN,
        )

    def _amplified(self, retries: Retries) -> Iterator[Rule]:
        again, calls = (self._sum([metric], retries.by, retries.match) for metric in (retries.retries, retries.attempts))
        cap = self._config.chain.amplification
        yield self._record("retries:increase", again)
        # Each retry is one call more than was asked for.
        asked = f"({calls} - ignoring (producer) {self._of('retries:increase')} > 0)"
        yield self._record("amplification:ratio", f"{calls} / {asked}")
        yield self._alert(
            "MeshsloAmplification",
            f"{self._of('amplification:ratio')} > {cap:g} and {self._of('retries:increase')} {SOME}",
            f"{_labels(retries.by)} makes over {cap:g} calls for each one asked",
            f"{{{{ $value | humanize }}}} calls for each request in the last {WINDOW}; "
            f"the whole chain may make {cap:g}, and hops multiply.",
            AMPLIFIED,
        )

    def _refused(self, retries: Retries, metric: str) -> Rule:
        return self._alert(
            "MeshsloRetryBudgetExhausted",
            f"{self._sum([metric], retries.by, retries.match, window='15m')} {SOME}",
            f"Retries from {_labels(retries.by)} are refused: the retry budget is spent",
            "{{ $value | humanize }} retries were refused in 15 minutes, so their calls failed at once.",
            REFUSED,
        )

    def _record(self, name: str, expr: str) -> Rule:
        return {"record": f"meshslo:{name}{WINDOW}", "expr": expr, "labels": {"producer": self._producer.name}}

    def _of(self, name: str, *matchers: str) -> str:
        """What was recorded under a name, of this producer alone."""
        told = ",".join([f'producer="{self._producer.name}"', *matchers])
        return f"meshslo:{name}{WINDOW}{{{told}}}"

    def _share(self, part: str, whole: str) -> str:
        return f"{self._of(part)} / ignoring (producer) ({whole} > 0)"

    def _alert(self, name: str, expr: str, summary: str, description: str, runbook: str) -> Rule:
        return {
            "alert": name,
            "expr": expr,
            "for": "5m",
            "labels": {"severity": "ticket", "producer": self._producer.name},
            "annotations": {"summary": summary, "description": description, "runbook": runbook},
        }

    def _place(self) -> str:
        return _labels(self._producer.by_labels)

    def _ended(self, outcomes: Sequence[Outcome] | None = None) -> str:
        """Calls in the window by the labels that are told apart; of the outcomes given, or all."""
        sets = ((),) if outcomes is None else outcome_matchers(self._producer.outcomes, outcomes)
        return self._sum([",".join((self._producer.calls, *each)) for each in sets])

    def _sum(
        self, series: list[str], by: tuple[str, ...] = (), match: tuple[str, ...] | None = None, window: str = WINDOW
    ) -> str:
        """Each of `series` is a metric, and matchers after commas."""
        terms = []
        for each in series:
            metric, _, matchers = each.partition(",")
            where = ",".join(filter(None, ((self._vantage,) if match is None else match) + (matchers,)))
            terms.append(f"increase({metric}{{{where}}}[{window}])")
        return f"sum by ({','.join(by or self._producer.by_labels)}) ({' or '.join(terms)})"


def _labels(names: Iterable[str]) -> str:
    return " ".join(f"{{{{ $labels.{name} }}}}" for name in names)
