"""MS323: a failover that never takes a place out as a whole."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject, each_manifest
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries
from meshslo.analysis.policy.readers.envoy_cluster import OUTLIERS, find_clusters
from meshslo.analysis.policy.readers.envoy_places import has_priorities, priority_of

UNSET_PERCENT = OUTLIERS["max_ejection_percent"][2]
"""What holds where nobody says, in Istio too."""


def _inspect(manifest: Manifest, _: Subject) -> Iterator[Hit]:
    if manifest.is_a("networking.istio.io", "DestinationRule"):
        yield from _destination(manifest)
    elif "static_resources" in manifest.body:
        yield from _clusters(manifest)


def _destination(manifest: Manifest) -> Iterator[Hit]:
    policy = child(manifest.spec, "trafficPolicy")
    locality, outliers = child(policy, "loadBalancer", "localityLbSetting"), child(policy, "outlierDetection")
    fails_over = locality.get("failover") or locality.get("failoverPriority")
    if fails_over and policy.get("outlierDetection") is not None and outliers.get("maxEjectionPercent") is None:
        message = (
            f"{UNSET_PERCENT} %, which nobody set, of all pods may be out: a place with more of them is never left as a whole"
        )
        yield Hit(manifest.place(policy, "outlierDetection"), message)


def _clusters(manifest: Manifest) -> Iterator[Hit]:
    for cluster in find_clusters(manifest.body):
        groups = entries(cluster, "load_assignment", "endpoints")
        if cluster.get("outlier_detection") is None or not has_priorities(manifest, groups):
            continue
        outliers = child(cluster, "outlier_detection")
        given = manifest.amount(outliers, "max_ejection_percent", "percent")
        percent = UNSET_PERCENT if given is None else int(given.value)
        sizes = [(priority_of(manifest, group), len(entries(group, "lb_endpoints"))) for group in groups]
        first, every = sum(size for priority, size in sizes if priority == 0), sum(size for _, size in sizes)
        if percent * every < 100 * first:
            left = f"{first} are of the first priority: it is never left as a whole"
            message = f"{percent} % of {every} endpoints may be out, and {left}"
            yield Hit(manifest.place(outliers, "max_ejection_percent"), message)


RULE = Rule(
    code="MS323",
    name="failover-cut-short",
    severity="warning",
    finds="Priorities of places with a maxEjectionPercent that does not let all endpoints of the first one out.",
    why="The percentage is of all endpoints together. What may not be ejected keeps its share of the calls, though it is as "
    "dead as the others.",
    instead="maxEjectionPercent that covers the preferred place, and leaves one endpoint: `meshslo recommend failovers`",
    evidence="envoyproxy/envoy source/common/upstream/outlier_detection_impl.cc; seen on Envoy 1.40.",
    find=each_manifest(_inspect),
)
