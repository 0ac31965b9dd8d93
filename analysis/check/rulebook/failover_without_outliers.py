"""MS317: a failover that nothing sets off."""

from collections.abc import Iterator
from typing import Any

from meshslo.analysis.check.rule import Hit, Rule, Subject, each_manifest
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries
from meshslo.analysis.policy.readers.envoy_cluster import find_clusters
from meshslo.analysis.policy.readers.envoy_places import has_priorities

AI_ROUTES = ("aigateway.envoyproxy.io", "AIGatewayRoute")
POLICIES = ("gateway.envoyproxy.io", "BackendTrafficPolicy")


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:
    if manifest.is_a("networking.istio.io", "DestinationRule"):
        yield from _destination(manifest)
    elif manifest.is_a(*AI_ROUTES):
        yield from _ai_route(manifest, subject)
    elif "static_resources" in manifest.body:
        yield from _clusters(manifest)


def _destination(manifest: Manifest) -> Iterator[Hit]:
    policy = child(manifest.spec, "trafficPolicy")
    locality = child(policy, "loadBalancer", "localityLbSetting")
    for field in ("failover", "failoverPriority"):
        if locality.get(field) and policy.get("outlierDetection") is None:
            yield Hit(manifest.place(locality, field), f"{field} has no effect without outlierDetection")


def _clusters(manifest: Manifest) -> Iterator[Hit]:
    for cluster in find_clusters(manifest.body):
        judged = cluster.get("outlier_detection") is not None or cluster.get("health_checks")
        if has_priorities(manifest, entries(cluster, "load_assignment", "endpoints")) and not judged:
            place = manifest.place(child(cluster, "load_assignment"), "endpoints")
            yield Hit(place, f"priorities of {cluster.get('name')} have no effect without outlier_detection or health_checks")


def _ai_route(manifest: Manifest, subject: Subject) -> Iterator[Hit]:
    attached = [policy.spec for policy in subject.of(*POLICIES) if manifest.name in _targets(policy)]
    judged = any(spec.get("healthCheck") or child(spec, "retry").get("numAttemptsPerPriority") for spec in attached)
    for rule in entries(manifest.spec, "rules"):
        if has_priorities(manifest, entries(rule, "backendRefs")) and not judged:
            yield Hit(
                manifest.place(rule, "backendRefs"),
                f"priorities of {manifest.name} have no effect without a BackendTrafficPolicy that says when a backend is out",
                instead="healthCheck.passive in a policy on the HTTPRoute of the same name: `meshslo recommend failovers`",
            )


def _targets(policy: Manifest) -> list[Any]:
    refs = [*entries(policy.spec, "targetRefs"), child(policy.spec, "targetRef")]
    return [ref.get("name") for ref in refs]


RULE = Rule(
    code="MS317",
    name="failover-without-outliers",
    severity="warning",
    finds="localityLbSetting.failover or failoverPriority without outlierDetection; priorities of an Envoy cluster with "
    "neither outlier_detection nor health_checks; priorities of an AIGatewayRoute without a policy that checks health or "
    "retries.",
    why="Only endpoints that are known to be out make a place unhealthy: without that calls stay with the sick one.",
    instead="outlierDetection beside it: `meshslo recommend outliers`",
    evidence="istio/istio#48084, istio/istio#12961; Envoy, priority levels; envoyproxy/ai-gateway, provider fallback.",
    find=each_manifest(_inspect),
)
