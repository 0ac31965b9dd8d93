"""MS314: an ejection limit that lets no pod out, or all of them."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child
from meshslo.analysis.policy.values import is_default


def _find(subject: Subject) -> Iterator[Hit]:
    replicas = dict(_replicas(subject))
    for cluster in subject.deployed.clusters:
        percent = cluster.settings.get("max_ejection_percent")
        if percent is None:
            continue
        healthy = cluster.settings.get("min_health_percent")
        if float(percent.value) >= 100 and healthy is not None and not float(healthy.value):
            yield Hit(percent.source, f"all pods of {cluster.callee} may be ejected at a time: then every call is answered 503")
        pods = replicas.get(cluster.callee)
        if pods is not None and float(percent.value) * pods < 100:
            nobody = ", which nobody set," if is_default(percent.source) else ""
            message = f"{percent.value} %{nobody} of {pods} pods of {cluster.callee} are less than one: none is ejected"
            yield Hit(percent.source, message)


def _replicas(subject: Subject) -> Iterator[tuple[str, int]]:
    """Workloads and the pods that they ask for."""
    for manifest in (*subject.of("apps", "Deployment"), *subject.of("apps", "StatefulSet")):
        given = manifest.amount(manifest.spec, "replicas")
        for name in _names(manifest):
            yield name, int(given.value) if given is not None else 1


def _names(manifest: Manifest) -> set[str]:
    labels = child(manifest.body, "metadata", "labels")
    return {manifest.name, str(labels.get("app", manifest.name))}


RULE = Rule(
    code="MS314",
    name="ejection-arithmetic",
    severity="warning",
    finds="Outlier detection with maxEjectionPercent 100 and minHealthPercent 0; or with so low a maxEjectionPercent that it"
    " is less than one of the workload's pods.",
    why="In the first case a bad minute takes every pod out. In the second Envoy ejects none (older releases: one), and the "
    "breaker is for show.",
    instead="maxEjectionPercent x pods of at least 100 and well below all of them",
    evidence="envoyproxy/envoy#27909, envoyproxy/envoy#3263, istio/istio#20135, istio/istio#13682.",
    find=_find,
)
