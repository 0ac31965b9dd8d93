"""Labels rewritten in PromQL mean what `telemetry.prometheus.labels` reads from them: a real Prometheus is asked."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from meshslo.dashboards.grafana.promql import outcome_labels, taken, with_label, with_outcome
from meshslo.telemetry.prometheus.labels import first_of, outcome_of
from meshslo.telemetry.prometheus.profile import Label, Outcomes, Profile
from meshslo.telemetry.prometheus.profiles import chosen
from meshslo.telemetry.vocabulary import UNKNOWN
from tests.dashboards.grafana.promql import ask
from tests.support.prometheus import series, with_history

pytestmark = pytest.mark.system

NOW_S = 1_762_000_000
PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in chosen([])}

STATUSES = ("", "200", "404", "408", "429", "499", "500", "503", "504", "0", "2xx", "5")
GRPC = ("", "0", "1", "4", "8", "14")
FLAGS = ("", "-", "UT", "DC", "URX,UF", "URX", "DC,UT", "UC")


def _values(label: str, rules: Outcomes) -> Sequence[str]:
    """Values of a label that a rule reads."""
    if label in rules.words:
        return ("", "other", *rules.words[label])
    return {rules.status: STATUSES, rules.grpc: GRPC, rules.flags: FLAGS}.get(label, ("", "-", "x"))


def _rules() -> dict[str, Outcomes]:
    """Every table of outcomes that a profile has, by the name of a metric."""
    found = {
        f"{profile.name}_{metric.metric}": profile.outcomes_of(metric)
        for profile in PROFILES.values()
        for metric in (*profile.histograms, *profile.counters)
    }
    return {name.replace(".", "_"): rules for name, rules in found.items() if outcome_labels(rules)}


RULES = _rules()

CLUSTERS = (
    "outbound|80||generator.default.svc.cluster.local",
    "outbound|443||api.openai.com",
    "generator",
    "",
    "outbound|80|v1|g",
)
SOURCES: dict[str, list[str | Label]] = {
    "envoy": list(PROFILES["envoy"].labels["callee"]),
    "inside": [Label(label="x", pattern="tenant-([a-z]+)"), "y"],
    "meaning": [Label(label="x", values={"true": "yes", "tenant-a.b": "dotted"})],
}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    text = ""
    for name, rules in RULES.items():
        labels = outcome_labels(rules)
        for number, values in enumerate(itertools.product(*(_values(label, rules) for label in labels))):
            told = {label: value for label, value in zip(labels, values, strict=True) if value}
            text += series(name, {**told, "number": str(number)}, [(NOW_S, 1.0)])
    for number, (cluster, x, y) in enumerate(
        itertools.product(CLUSTERS, ("", "my-tenant-abc.d", "tenant-a.b", "true"), ("", "why"))
    ):
        told = {key: value for key, value in {"envoy_cluster_name": cluster, "x": x, "y": y}.items() if value}
        text += series("words", {**told, "number": str(number)}, [(NOW_S, 1.0)])
    folder: Path = tmp_path_factory.mktemp("labels")
    with with_history(folder, text) as url:
        yield url


@pytest.mark.parametrize("name", sorted(RULES))
def test_outcomes_are_those_that_a_pull_reads(prometheus: str, name: str) -> None:
    rules = RULES[name]
    found = [each["metric"] for each in ask(prometheus, with_outcome(name, rules), NOW_S)]
    assert len(found) > 3
    for labels in found:
        assert labels["outcome"] == (outcome_of(labels, rules) or UNKNOWN), labels


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_words_are_those_that_a_pull_reads(prometheus: str, name: str) -> None:
    expr = taken(with_label("words", "word", UNKNOWN), "word", SOURCES[name])
    for each in ask(prometheus, expr, NOW_S):
        assert each["metric"]["word"] == (first_of(each["metric"], SOURCES[name]) or UNKNOWN), each["metric"]
