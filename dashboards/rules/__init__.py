"""Prometheus rules from objectives: recording rules of each objective's counts, burn-rate alerts, alerts on cut streams.

One generator over the names of a producer's metrics: a producer is one file here that ends in `PRODUCER = Producer(...)`,
and packages of users register theirs under the entry points `meshslo.producers`.

outcomes       label matchers that choose calls by how they ended
indicators     broken and asked calls of an objective, as PromQL
burn           recording rules and alerts of one objective
streams        alerts that need no objective: cut streams, repeated calls, a tail that cuts hide
document       all of it as a rule file
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshslo.telemetry.prometheus.profile import Outcomes
from meshslo.telemetry.vocabulary import Phase, Vantage


@dataclass(frozen=True)
class Durations:
    """A classic histogram of a phase: its name without `_bucket`, matchers that choose it, edges in `unit_s` seconds.

    is_seen_by_all: a call that ended badly after the phase counts too, as of a first token; else only its own end does.
    """

    metric: str
    edges: tuple[float, ...]
    unit_s: float = 1.0
    match: tuple[str, ...] = ()
    is_seen_by_all: bool = False


@dataclass(frozen=True)
class Producer:
    """What a producer's metrics are called and which labels mean what.

    calls: counter of calls, by outcome. labels: of hop, or of caller and callee, and of route, model and tenant; a key that
    is absent has no label. by: labels that alerts on streams tell apart. vantages: matcher of each vantage, the outermost
    first. retries, refused_retries, cut_streams: counters, None where there is none; refused_by: labels of refused_retries.
    """

    name: str
    calls: str
    durations: Mapping[Phase, Durations]
    labels: Mapping[str, str]
    by: tuple[str, ...]
    vantages: Mapping[Vantage, str]
    outcomes: Outcomes
    retries: str | None = None
    cut_streams: str | None = None
    refused_retries: str | None = None
    refused_by: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    """What its figures cannot say: comments of the rule file."""
