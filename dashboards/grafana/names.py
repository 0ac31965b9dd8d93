"""What a panel asks of a profile, as PromQL: always by hop and vantage, from the outermost side that knows the hop.

One call is seen from several sides and must not be counted twice, so the sides' expressions are joined with `or on (hop)`.
Numerator and denominator of a share come from one side.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from meshslo.analysis.quantile import calls_needed
from meshslo.dashboards.rules.document import producers
from meshslo.telemetry.prometheus.profile import Profile
from meshslo.telemetry.store.metrics import Measure
from meshslo.telemetry.vocabulary import UNKNOWN, Outcome, Phase

from .datasources import PROMETHEUS, Filter
from .expressions import RANGE, RATE, CannotExpressError, Expressions, Setting
from .own import OWN, Gauge, Tokens
from .promql import quoted, selector, tells_itself, with_label
from .views import HOP, Ask, View, filters_of, views_of

_SECONDS: Final = {"s": "", "ms": "0.001 * ", "us": "0.000001 * "}
"""Unit -> what makes it seconds."""

_NUMBER: Final = " >= 0"
"""Drops what is not a number, so that a side without calls now does not hide one that has some."""


@dataclass(frozen=True)
class Tail:
    """Which quantile is asked for, of which phase, by what, over which window."""

    q: float
    phase: Phase
    by: tuple[str, ...] = ()
    window: str = RATE


class Names(Expressions):
    """The expressions of a profile. Each raises CannotExpressError where the profile has no metric or label for it."""

    def __init__(self, profile: Profile) -> None:
        """Those of `profile`."""
        super().__init__(profile.name, f"metrics of {profile.about or profile.name}", profile.notes, PROMETHEUS)
        self.profile = profile
        filters = filters_of(profile)
        if not any(one.variable == HOP for one in filters):
            # No label of the metrics: made from those of both ends, as in the panels.
            self.views = views_of(profile, ())
            filters = (Filter(HOP, None, HOP, f"group by ({HOP}) ({self.calls(window=RANGE)})", computed=True), *filters)
        self.filters = filters
        self.views = views_of(profile, filters)

    def calls(self, *by: str, window: str = RATE) -> str:
        """Calls a second."""
        return self._outermost(lambda view: view.calls(by, window))

    def outcomes(self) -> str:
        """Calls a second by how they ended."""
        return self._outermost(lambda view: view.calls(("outcome",)))

    def share(self, outcomes: Sequence[Outcome], *by: str, window: str = RATE) -> str:
        """The share of calls that ended in one of `outcomes`, 0 to 1."""

        def make(view: View) -> str:
            whole = view.calls(by, window)
            return f"(({self._ended(view, outcomes, by, window)} or 0 * {whole}) / {whole}){_NUMBER}"

        return self._outermost(make)

    def quantile(self, q: float, phase: Phase, *by: str, window: str = RATE) -> str:
        """Seconds that a share `q` of calls stayed within, where the window has enough calls to say so.

        A quantile that lies above the top edge reads as that edge: see `at_least`.
        """
        return self._outermost(lambda view: _quantile(view, Tail(q, phase, by, window)))

    def few(self, q: float, phase: Phase, *by: str) -> str:
        """The quantile where the window has too few calls: among the largest seen, it says little of the next ones."""
        return self._outermost(lambda view: _quantile(view, Tail(q, phase, by), few=True))

    def beyond(self, phase: Phase, *by: str, window: str = RATE) -> str:
        """The share of calls above the top bucket's edge, of which it is only known that they took longer."""
        return self._outermost(lambda view: _beyond(view, phase, by, window))

    def counted(self, phase: Phase, window: str = RANGE) -> str:
        """How many calls a histogram of the phase has of the window."""
        return self._outermost(lambda view: view.summed(Ask(view.histogram(phase), "_count", (), window, function="increase")))

    def at_least(self, q: float, phase: Phase, *by: str) -> str:
        """The quantile only where it lies above the top edge: the true value is at least this."""

        def make(view: View) -> str:
            return f"({_quantile(view, Tail(q, phase, by))} and {_beyond(view, phase, by, RATE)} > {1 - q:.10g})"

        return self._outermost(make)

    def mean(self, phase: Phase, *by: str) -> str:
        """Mean seconds."""

        def make(view: View) -> str:
            histogram = view.histogram(phase)
            total, count = (view.summed(Ask(histogram, suffix, by)) for suffix in ("_sum", "_count"))
            return f"{_SECONDS[histogram.unit]}({total} / {count}){_NUMBER}"

        return self._outermost(make)

    def buckets(self, phase: Phase) -> str:
        """Calls a second in each bucket, of all hops together; edges are in the unit that `edge_unit` names."""
        return f"sum by (le) ({self._outermost(lambda view: view.summed(Ask(view.histogram(phase), '_bucket', ('le',))))})"

    def edge_unit(self, phase: Phase) -> str:
        """Grafana's name of the unit of a histogram's bucket edges; CannotExpressError where sides differ in it."""
        units = {one.unit for one in self.profile.histograms if one.phase == phase}
        if len(units) > 1:
            raise CannotExpressError(f"the histograms of {self.profile.name} have edges in {' and '.join(sorted(units))}")
        return "".join(units).replace("us", "µs")

    def events(self, measure: Measure, *by: str) -> str:
        """Events a second."""
        return self._outermost(lambda view: self._events(view, measure, by))

    def per_call(self, measure: Measure) -> str:
        """Events for each call that was asked for, retries not counted."""
        return self._outermost(lambda view: f"({self._events(view, measure, ())} / {self._asked(view)}){_NUMBER}")

    def amplification(self) -> str:
        """Calls made for each call that was asked for: 1 without retries."""
        return self._outermost(lambda view: f"(1 + {self._events(view, 'retries', ())} / {self._asked(view)}){_NUMBER}")

    def in_progress(self) -> str:
        """Calls in progress on average, by Little's law: the seconds that calls took, a second."""

        def make(view: View) -> str:
            histogram = view.histogram("total")
            return f"({_SECONDS[histogram.unit]}{view.summed(Ask(histogram, '_sum'))})"

        return self._outermost(make)

    def gauge(self, gauge: Gauge) -> str:
        """What a proxy says of now, of all proxies together."""
        return self._outermost(lambda view: view.summed(Ask(view.gauge(gauge), function="now")))

    def tokens(self, kind: Tokens, *by: str) -> str:
        """Tokens a second."""
        return self._outermost(lambda view: view.summed(Ask(view.tokens(kind), by=by)))

    def encrypted(self) -> str:
        """The share of calls known to be under mutual TLS, by the callee's side: Istio's caller side does not say."""

        def make(view: View) -> str:
            whole = view.calls()
            return f"(({_only(view.calls(('mtls',)), 'mtls', ('true',))} or 0 * {whole}) / {whole}){_NUMBER}"

        return self._outermost(make, inwards=False)

    def identities(self, column: Literal["caller_identity", "callee_identity"]) -> str:
        """Calls a second by who the caller or callee proved to be, by the callee's side."""
        return self._outermost(lambda view: view.calls((column,)), inwards=False)

    def unproved(self) -> str:
        """The share of calls whose caller has no identity that is known, by the callee's side."""

        def make(view: View) -> str:
            whole = view.calls()
            nobody = _only(view.calls(("caller_identity",)), "caller_identity", ("", UNKNOWN))
            return f"(({nobody} or 0 * {whole}) / {whole}){_NUMBER}"

        return self._outermost(make, inwards=False)

    def outside(self) -> str:
        """Calls a second to hosts outside the mesh, by caller and host, by the caller's side."""
        return self._outermost(lambda view: view.summed(Ask(view.outside())))

    def settings(self, settings: Sequence[Setting]) -> str:
        """The values, as series, of those hops that have calls."""
        constants = " or ".join(_constant(setting) for setting in settings)
        # A line is there where the hop is: so the hop variable narrows lines as well.
        return f"({constants}) and on (hop) ({self.calls()})"

    def recorded(self, record: str) -> str:
        """A series that `meshslo rules` records of objectives, by objective and hop."""
        return f"max by (slo, hop) ({self._of_objectives(record)})"

    def alerts(self) -> str:
        """How many alerts of `meshslo rules` fire, by name."""
        firing = self._of_objectives("ALERTS", 'alertname=~"Meshslo.*"', 'alertstate="firing"')
        return f"count by (alertname, slo, hop) ({firing})"

    def _of_objectives(self, series: str, *matchers: str) -> str:
        if self.name not in {producer.name for producer in producers()}:
            self._cannot("rules: `meshslo rules` makes none of its metrics")
        hops = [f"{one.label}=~{quoted(f'${one.variable}')}" for one in self.filters if one.variable == "hop"]
        return selector([series], [f"producer={quoted(self.name)}", *matchers, *hops])

    def _events(self, view: View, measure: Measure, by: tuple[str, ...]) -> str:
        expr = view.summed(Ask(view.counter(measure), by=by))
        # Our collector exports a counter once it is above 0, so its absence beside calls means none.
        return f"({expr} or 0 * {view.calls(by)})" if self.profile.name == OWN.name else expr

    def _asked(self, view: View) -> str:
        """First attempts a second. Our calls are attempts; proxies count what was asked of them, and retries apart."""
        calls = view.calls()
        return f"({calls} - {self._events(view, 'retries', ())})" if self.profile.name == OWN.name else calls

    def _ended(self, view: View, outcomes: Sequence[Outcome], by: tuple[str, ...], window: str) -> str:
        """Calls a second that ended in one of `outcomes`."""
        if tells_itself(self.profile.outcomes):
            return view.calls(by, window, (f"outcome=~{quoted('|'.join(outcomes))}",))
        return _only(view.calls((*by, "outcome"), window), "outcome", outcomes, by)

    def _outermost(self, make: Callable[[View], str], *, inwards: bool = True) -> str:
        """The expression of every view that has it, each hop taken from the first that knows it; or from the innermost."""
        parts: list[str] = []
        reasons: list[CannotExpressError] = []
        for view in self.views if inwards else reversed(self.views):
            try:
                parts.append(make(view))
            except CannotExpressError as reason:
                reasons.append(reason)
        if not parts:
            raise reasons[0]
        return "\nor on (hop) ".join(parts)


def _constant(setting: Setting) -> str:
    expr = f"vector({setting.value:.10g})"
    for label, told in {"hop": setting.hop, "target": setting.target, "setting": setting.setting}.items():
        expr = with_label(expr, label, told.replace("$", "$$"))
    return expr


def _only(expr: str, label: str, values: Sequence[str], by: tuple[str, ...] = ()) -> str:
    """The series of `expr` whose rewritten `label` is one of `values`, added up without it."""
    wanted = " or ".join(with_label("vector(1)", label, value) for value in values)
    return f"sum by ({', '.join(('hop', 'vantage', *by))}) ({expr} and on ({label}) ({wanted}))"


def _quantile(view: View, tail: Tail, *, few: bool = False) -> str:
    """A distribution-free upper bound of the quantile exists from so many calls on; below it a value is a guess."""
    histogram = view.histogram(tail.phase)
    buckets = view.summed(Ask(histogram, "_bucket", (*tail.by, "le"), tail.window))
    seen = view.summed(Ask(histogram, "_count", tail.by, tail.window, function="increase"))
    enough = f"{seen} < {calls_needed(tail.q)} > 0" if few else f"{seen} >= {calls_needed(tail.q)}"
    return f"({_SECONDS[histogram.unit]}histogram_quantile({tail.q:g}, {buckets}) and {enough})"


def _beyond(view: View, phase: Phase, by: tuple[str, ...], window: str) -> str:
    """The largest of the cumulative finite buckets is the one of the top edge, whichever edges a producer has."""
    histogram, group = view.histogram(phase), ", ".join(("hop", "vantage", *by))
    finite = view.summed(Ask(histogram, "_bucket", (*by, "le"), window, ('le!="+Inf"',)))
    whole = view.summed(Ask(histogram, "_bucket", by, window, ('le="+Inf"',)))
    return f"clamp_min(1 - max by ({group}) ({finite}) / {whole}, 0){_NUMBER}"
