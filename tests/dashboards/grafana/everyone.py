"""Series as each profile says that its producer exports them, with all labels: a hop of many calls, and one of few."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final

from meshslo.dashboards.grafana.own import GAUGES, OUTSIDE, TOKENS
from meshslo.dashboards.grafana.promql import outcome_labels
from meshslo.dashboards.grafana.views import label_of, views_of
from meshslo.telemetry.prometheus.profile import Column, Histogram, Metric, Outcomes, Profile
from tests.support.prometheus import series

CALLS: Final = {"generator": 100.0, "ranker": 1.0}
"""Callee -> calls a step: enough for every quantile, and for none."""

ABOVE: Final = 0.2
"""Share of calls that took longer than the top edge."""

WORDS: Final[dict[Column, str]] = {
    "caller": "gateway",
    "route": "/v1/chat",
    "model": "m",
    "tenant": "t",
    "version": "v1",
    "caller_identity": "spiffe://cluster.local/ns/default/sa/gateway",
    "callee_identity": "spiffe://cluster.local/ns/default/sa/callee",
}

WRITTEN: Final = {
    "envoy_cluster_name": "outbound|80||{}.default.svc.cluster.local",
    "client_id": "{}.default.serviceaccount.identity.linkerd.cluster.local",
}
"""Label -> how a name stands in it, where profiles take it out with a pattern."""

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def history(profile: Profile, times: Sequence[int]) -> str:
    """What a Prometheus has of the profile's metrics at these times, growing by the same in each step; gauges stand still."""
    # Of a producer that does not say how calls ended, those that did well and those that did not are one series.
    grown: Series = defaultdict(float)
    still: Series = {}
    others = (TOKENS.get(profile.name) or {}).values()
    outside = [OUTSIDE[profile.name]] if profile.name in OUTSIDE else []
    for metric in (*profile.histograms, *profile.counters, *others, *outside):
        callees = {"api.example.com": 5.0} if metric in outside else CALLS
        for labels, calls in _each(profile, metric, callees):
            for suffix, more, value in _parts(metric, calls):
                grown[_name(metric) + suffix, (*labels, *more)] += value
    for metric in (GAUGES.get(profile.name) or {}).values():
        for labels, _ in _each(profile, metric, CALLS):
            still[_name(metric), labels] = 3.0
    grows = {key: [(at, value * step) for step, at in enumerate(times)] for key, value in grown.items()}
    stands = {key: [(at, value) for at in times] for key, value in still.items()}
    return "".join(series(name, dict(labels), samples) for (name, labels), samples in {**grows, **stands}.items())


def _name(metric: Metric) -> str:
    return next(name for name in metric.names if re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", name))


def _parts(metric: Metric, calls: float) -> Iterator[tuple[str, tuple[tuple[str, str], ...], float]]:
    """Suffix, further labels and growth of each series of a metric; buckets fill evenly up to the top edge."""
    if not isinstance(metric, Histogram):
        yield "", (), calls
        return
    edges = metric.edges or (0.1, 1.0, 10.0)
    for place, edge in enumerate(edges, 1):
        yield "_bucket", (("le", f"{edge:g}"),), calls * (1 - ABOVE) * place / len(edges)
    yield "_bucket", (("le", "+Inf"),), calls
    yield "_count", (), calls
    yield "_sum", (), calls * edges[-1]


def _each(profile: Profile, metric: Metric, callees: dict[str, float]) -> Iterator[tuple[tuple[tuple[str, str], ...], float]]:
    """Labels of each series of a metric, and its calls a step: by side, callee, and whether they ended well."""
    sources = profile.labels_of(metric)
    sides = [view.vantage for view in views_of(profile, ())] if sources.get("reporter") else [""]
    for side, (callee, calls), good in product(sides, callees.items(), (True, False)):
        labels: dict[str, str] = {}
        for column, value in (*WORDS.items(), ("callee", callee), ("reporter", side)):
            if sources.get(column) and column not in metric.fixed and value:
                label = label_of(sources[column][0])
                labels[label] = WRITTEN.get(label, "{}").format(value)
        for source in sources.get("mtls", ()):
            labels[label_of(source)] = "true" if label_of(source) == "tls" else "mutual_tls"
        labels = dict.fromkeys(re.findall(r'(\w+)!=""', metric.match), "x") | labels
        labels |= dict(re.findall(r'(\w+)="([^"]*)"', metric.match)) | _ending(profile.outcomes_of(metric), good=good)
        yield tuple(sorted(labels.items())), calls * (0.9 if good else 0.1)


def _ending(rules: Outcomes, *, good: bool) -> dict[str, str]:
    """What a call that ended well, or that a timer cut, says of it."""
    if not outcome_labels(rules):
        return {}
    labels = {} if good else dict.fromkeys(rules.present, "timeout")
    for label, words in rules.words.items():
        fitting = [word for word, meaning in words.items() if (meaning == "ok") == good]
        labels |= {label: fitting[0]} if fitting else {}
    told = {rules.status: ("200", "504"), rules.grpc: ("0", "4"), rules.flags: ("-", "UT")}
    return labels | {label: values[not good] for label, values in told.items() if label}
