"""From whom a profile's metrics hear of calls, and what each can tell: one view a side, the caller's first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from meshslo.telemetry.prometheus.profile import Column, Counter, Histogram, Label, Metric, Profile
from meshslo.telemetry.store.metrics import Measure
from meshslo.telemetry.vocabulary import UNKNOWN, VANTAGES, Phase

from .datasources import Filter
from .expressions import RATE, CannotExpressError
from .own import GAUGE_WORDS, GAUGES, OUTSIDE, OWN, TOKENS, Gauge, Tokens
from .promql import outcome_labels, quoted, selector, taken, tells_itself, when, with_label, with_outcome

HOP: Final = "hop"
"""The variable of hops, and the word in queries: a caller and a callee."""

_MARK: Final = "chosen"

_M = TypeVar("_M", bound=Metric)

_REPORTERS: Final[dict[str, tuple[str, ...]]] = {OWN.name: tuple(vantage for vantage in VANTAGES if vantage != "metric")}
_MESH_REPORTERS: Final = ("source", "waypoint", "destination")
"""Values of a reporter label, outermost first."""


@dataclass(frozen=True)
class Ask:
    """Rates of a metric's series, what they grew by, or what they are now, added up by hop and `by`.

    `le` keeps a histogram's buckets.
    """

    metric: Metric
    suffix: str = ""
    by: tuple[str, ...] = ()
    window: str = RATE
    matchers: tuple[str, ...] = ()
    function: Literal["rate", "increase", "now"] = "rate"


@dataclass(frozen=True)
class View:
    """One side's metrics of a profile."""

    profile: Profile
    vantage: str
    matcher: str
    first: bool
    filters: tuple[Filter, ...]

    def histogram(self, phase: Phase) -> Histogram:
        """The histogram of a phase that the profile prefers; CannotExpressError where this side has none."""
        return self._first(
            (one for one in self.profile.histograms if one.phase == phase), f"no histogram of {phase.replace('_', ' ')}"
        )

    def counter(self, measure: Measure) -> Counter:
        """The counter of a measure; CannotExpressError where this side has none."""
        return self._first(
            (one for one in self.profile.counters if one.measure == measure), f"no counter of {measure.replace('_', ' ')}"
        )

    def calls(self, by: tuple[str, ...] = (), window: str = RATE, matchers: tuple[str, ...] = ()) -> str:
        """Calls a second: of the counter, where there is one with labels for `by`, else of the first histogram."""
        try:
            return self.summed(Ask(self.counter("calls"), by=by, window=window, matchers=matchers))
        except CannotExpressError:
            histogram = self._first(iter(self.profile.histograms), "no histogram")
            return self.summed(Ask(histogram, "_count", by, window, matchers))

    def tokens(self, kind: Tokens) -> Counter:
        """The counter of tokens; CannotExpressError where there is none."""
        counters = (TOKENS.get(self.profile.name) or {}).get(kind)
        return self._first(iter([counters] if counters else []), f"no counter of {kind} tokens")

    def outside(self) -> Counter:
        """The counter of calls to hosts outside the mesh; CannotExpressError where there is none."""
        counter = OUTSIDE.get(self.profile.name)
        return self._first(iter([counter] if counter else []), "no label for hosts outside the mesh")

    def gauge(self, gauge: Gauge) -> Counter:
        """The gauge; CannotExpressError where there is none."""
        found = (GAUGES.get(self.profile.name) or {}).get(gauge)
        return self._first(iter([found] if found else []), f"no gauge of {GAUGE_WORDS[gauge]}")

    def summed(self, ask: Ask) -> str:
        """Rates by hop, vantage and what is asked for, as the words of the call row."""
        columns = [name for name in ask.by if name != "le"]
        raw = [label for name in ["hop", *columns] for label in self._labels(ask.metric, name)]
        vantage = ["vantage"] if "vantage" in self._reporter() else []
        names = [f"{name}{ask.suffix}" for name in ask.metric.names]
        told = [ask.metric.match, self.matcher, *ask.matchers, *self._narrowed(ask.metric)]
        last = ["le"] if "le" in ask.by else []
        series = selector(names, told)
        rates = series if ask.function == "now" else f"{ask.function}({series}[{ask.window}])"
        expr = f"sum by ({', '.join(dict.fromkeys([*raw, *vantage, *last]))}) ({rates})"
        words = expr
        for name in ["hop", *columns]:
            words = self._told(words, ask.metric, name)
        if words == expr and vantage:
            return expr
        words = words if vantage else with_label(words, "vantage", self.vantage)
        return f"sum by ({', '.join(['hop', 'vantage', *columns, *last])}) ({self._chosen(words)})"

    def _chosen(self, words: str) -> str:
        """Those hops that are chosen, where no label of the series holds a hop: PromQL matches such a word by way of a mark."""
        if not any(one.computed for one in self.filters):
            return words
        marked = when(words, HOP, f"${HOP}", _MARK, "yes")
        return f"{marked} and on ({_MARK}) {with_label('vector(1)', _MARK, 'yes')}"

    def _first(self, found: Iterator[_M], otherwise: str) -> _M:
        """The first that this side reports; one that names no side is the outermost side's."""
        for metric in found:
            side = metric.fixed.get("reporter")
            if self.matcher or side == self.vantage or (side is None and self.first):
                return metric
        raise CannotExpressError(f"{self.profile.name} has {otherwise}")

    def _reporter(self) -> list[str]:
        return [source for source in self.profile.labels.get("reporter", ()) if isinstance(source, str)]

    def _sources(self, metric: Metric, column: str) -> Sequence[str | Label]:
        if column in metric.fixed:
            return ()
        return {str(name): sources for name, sources in self.profile.labels_of(metric).items()}.get(column, ())

    def _labels(self, metric: Metric, name: str) -> list[str]:
        """The labels of the series that a word is told from."""
        if name == "hop":
            return [*self._labels(metric, "caller"), *self._labels(metric, "callee")]
        if name == "outcome":
            return outcome_labels(self.profile.outcomes_of(metric))
        return [label_of(source) for source in self._sources(metric, name)]

    def _told(self, expr: str, metric: Metric, name: str) -> str:
        """`expr` with the label `name`; CannotExpressError where the profile has nothing for it."""
        if name == "outcome":
            return self._with_outcome(expr, metric)
        if name != "hop":
            return self._with_word(expr, metric, name)
        if set(self._labels(metric, "hop")) == {"hop"}:
            return expr
        for side in ("caller", "callee"):
            fixed = metric.fixed.get("caller" if side == "caller" else "callee")
            expr = with_label(expr, side, fixed or UNKNOWN)
            expr = taken(expr, side, self._sources(metric, side))
        return f'label_join({expr}, "hop", ">", "caller", "callee")'

    def _with_outcome(self, expr: str, metric: Metric) -> str:
        rules = self.profile.outcomes_of(metric)
        if not outcome_labels(rules):
            raise CannotExpressError(f"{metric.metric} does not say how calls ended")
        return expr if tells_itself(rules) else with_outcome(expr, rules)

    def _with_word(self, expr: str, metric: Metric, name: str) -> str:
        sources = self._sources(metric, name)
        if not sources:
            raise CannotExpressError(f"{metric.metric} has no label for the {name.replace('_', ' ')}")
        return expr if list(sources) == [name] else taken(expr, name, sources)

    def _narrowed(self, metric: Metric) -> Iterator[str]:
        """Matchers of the variables. A side that has the word only as part of a label is not narrowed by it."""
        for one in self.filters:
            sources = self._sources(metric, str(one.column))
            if sources and (isinstance(sources[0], str) or sources[0].label == one.label):
                yield f"{label_of(sources[0])}=~{quoted(f'${one.variable}')}"


def label_of(source: str | Label) -> str:
    """The label that a source reads."""
    return source if isinstance(source, str) else source.label


def views_of(profile: Profile, filters: tuple[Filter, ...]) -> list[View]:
    """The views of a profile, the caller's side first."""
    reporter = [source for source in profile.labels.get("reporter", ()) if isinstance(source, str)]
    if reporter:
        sides = _REPORTERS.get(profile.name, _MESH_REPORTERS)
        matchers = [f"{reporter[0]}={quoted(side)}" for side in sides]
        return [View(profile, side, matcher, False, filters) for side, matcher in zip(sides, matchers, strict=True)]
    metrics = (*profile.histograms, *profile.counters)
    told = dict.fromkeys(metric.fixed["reporter"] for metric in metrics if "reporter" in metric.fixed)
    return [View(profile, side, "", number == 0, filters) for number, side in enumerate(told or ["metric"])]


def filters_of(profile: Profile) -> tuple[Filter, ...]:
    """What a profile's dashboards are narrowed by; a hop where one label holds both of its ends."""
    found: dict[Column, Filter] = {}
    columns: tuple[Column, ...] = ("caller", "callee", "route", "model", "tenant")
    for metric in (*profile.counters, *profile.histograms):
        suffix = "" if isinstance(metric, Counter) else "_count"
        series = selector([f"{name}{suffix}" for name in metric.names], [metric.match])
        for column in columns:
            sources = profile.labels_of(metric).get(column, ())
            if sources and column not in metric.fixed:
                found.setdefault(column, Filter(column, column, label_of(sources[0]), series))
    ends = [found[column].label for column in columns[:2] if column in found]
    if len(ends) == 2 and ends[0] == ends[1]:
        hop = found.pop("callee")
        found["caller"] = Filter("hop", "caller", hop.label, hop.series)
    return tuple(found[column] for column in columns if column in found)
