"""MS121: a pod that is killed before its calls may end."""

from collections.abc import Iterator
from typing import Any, Final

from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child
from meshslo.analysis.policy.values import Placed
from meshslo.analysis.recommend.words import seconds

GRACE_S: Final = 30.0
"""What Kubernetes waits unasked."""


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:
    template = child(manifest.spec, "template")
    pod = child(template, "spec")
    longest = max(
        (total for route in subject.deployed.routes if (total := _total(route, _names(manifest, template)))), default=0.0
    )
    grace = manifest.amount(pod, "terminationGracePeriodSeconds", "s") or Placed(GRACE_S, "s", manifest.place(template, "spec"))
    if longest > float(grace.value):
        yield Hit(
            grace.source,
            f"pods of {manifest.name} are killed {seconds(float(grace.value))} after they are asked to stop, and calls may "
            f"take {seconds(longest)}",
        )


def _names(manifest: Manifest, template: Any) -> set[str]:
    labels = child(template, "metadata", "labels")
    return {manifest.name, str(labels.get("app", "")), str(labels.get("app.kubernetes.io/name", ""))} - {""}


def _total(route: Any, names: set[str]) -> float:
    total = route.settings.get("total_timeout")
    return float(total.value) if total is not None and route.callee in names else 0.0


RULE = Rule(
    code="MS121",
    name="drain-shorter-than-call",
    severity="warning",
    finds="A workload whose terminationGracePeriodSeconds (30 s unasked) is shorter than the total timeout of a route to it.",
    why="Every rollout truncates the answers that are under way: resets cluster at deployments.",
    instead="a grace period above the total timeout, a preStop wait, and the proxy's drain time (Istio 5 s unasked) to match",
    evidence="istio/istio#7136, istio/istio#15704, mongodb/mongodb-kubernetes#1278.",
    find=each("apps", "Deployment", "StatefulSet", "DaemonSet", inspect=_inspect),
)
