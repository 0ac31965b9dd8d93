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
from dataclasses import dataclass, field, replace

from meshslo.telemetry.errors import BadConfigError
from meshslo.telemetry.prometheus.profile import Outcomes
from meshslo.telemetry.vocabulary import Phase, Vantage


@dataclass(frozen=True)
class Durations:
    """A classic histogram of a phase: its name without `_bucket`, matchers that choose it, edges in `unit_s` seconds.

    is_seen_by_all: every call in it counts, however it ended: as of a first token, or since its labels do not say. Else a call
    counts by its own end.
    """

    metric: str
    edges: tuple[float, ...]
    unit_s: float = 1.0
    match: tuple[str, ...] = ()
    is_seen_by_all: bool = False


@dataclass(frozen=True)
class Retries:
    """Counters of repeated calls, and the labels they are told apart by.

    retries: second and later attempts. attempts: all of them, first ones too. refused: retries that a budget did not allow;
    None where nothing counts them. match: matchers that choose their series; None where the vantage's do.
    """

    retries: str
    attempts: str
    by: tuple[str, ...]
    refused: str | None = None
    match: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Producer:
    """What a producer's metrics are called and which labels mean what.

    calls: counter of calls, by outcome. labels: of hop, or of caller and callee, and of route, model and tenant; a key that
    is absent has no label. by: keys that alerts on streams tell apart. vantages: matcher of each vantage, the outermost
    first; "" where all its series are. cut_streams: counter; None where an outcome tells. retries: None where nothing counts.
    """

    name: str
    calls: str
    durations: Mapping[Phase, Durations]
    labels: Mapping[str, str]
    by: tuple[str, ...]
    vantages: Mapping[Vantage, str]
    outcomes: Outcomes
    retries: Retries | None = None
    cut_streams: str | None = None
    shapes: Mapping[str, str] = field(default_factory=dict)
    """Key -> regular expression of its label's values, `{}` where the word stands; the word alone where absent."""
    notes: tuple[str, ...] = field(default=())
    """What its figures cannot say: comments of the rule file."""

    def relabelled(self, labels: Mapping[str, str]) -> "Producer":
        """The same with other labels for some keys, as scrape configurations differ; BadConfigError for a key it has not."""
        wrong = [key for key in labels if key not in self.labels]
        if wrong:
            raise BadConfigError(f"{self.name} has no label for {', '.join(wrong)}; it has some for {', '.join(self.labels)}")
        renamed = {self.labels[key]: label for key, label in labels.items()}
        repeated = self.retries and replace(self.retries, by=tuple(renamed.get(label, label) for label in self.retries.by))
        return replace(self, labels={**self.labels, **labels}, retries=repeated)

    @property
    def by_labels(self) -> tuple[str, ...]:
        """The labels of `by`."""
        return tuple(self.labels[key] for key in self.by)
