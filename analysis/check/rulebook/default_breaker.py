"""MS311: a limit of 1024 calls in progress that nobody set."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject
from meshslo.analysis.policy.values import is_default


def _find(subject: Subject) -> Iterator[Hit]:
    for cluster in subject.deployed.clusters:
        limit = cluster.settings.get("max_concurrent_requests")
        if limit is not None and is_default(limit.source):
            yield Hit(
                limit.source, f"at most {limit.value} calls of {cluster.callee} at a time go through a proxy, which nobody set"
            )


RULE = Rule(
    code="MS311",
    name="default-breaker",
    severity="info",
    finds="An Envoy cluster, or a route of Envoy Gateway, without limits of its own: 1024 connections, pending and parallel "
    "calls hold.",
    why="Long streams occupy slots: with a mean of a minute, 17 new calls a second fill them, and the rest is refused with "
    "503 (UO).",
    instead="the limit that the callee's load and capacity justify: `meshslo recommend breakers`",
    evidence="knative-extensions/net-kourier#839, envoyproxy/envoy#9250, deephaven/deephaven-core#1574, istio/istio#55202.",
    find=_find,
)
