"""What an Istio DestinationRule sets for a callee: retry budget, connection pool, outlier detection, locality.

Source: istio/api networking/v1 destination_rule.proto; pilot/pkg/networking/core/cluster_traffic_policy.go for what holds
where a field is absent.
"""

from collections.abc import Iterator
from typing import Any, Final

from meshslo.analysis.policy.deployed import ClusterRule
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries, first_label, scalars
from meshslo.analysis.policy.values import Placed, defaults_of
from meshslo.analysis.policy.zones import write_weights

DEFAULT_PERCENT: Final = 20.0
DEFAULT_CONCURRENCY: Final = 3

POOL: Final = {
    ("tcp", "maxConnections"): "max_connections",
    ("http", "http1MaxPendingRequests"): "max_pending",
    ("http", "http2MaxRequests"): "max_concurrent_requests",
    ("http", "maxRetries"): "max_retries",
    ("http", "maxRequestsPerConnection"): "max_requests_per_connection",
}
"""Fields of `connectionPool`. Absent, Istio sets 2^32 - 1: no limit, so there is no default to name."""

OUTLIERS: Final = {
    "consecutive5xxErrors": ("consecutive_5xx", "1", 5),
    "consecutiveGatewayErrors": ("consecutive_gateway_failures", "1", None),
    "maxEjectionPercent": ("max_ejection_percent", "percent", 10),
    "minHealthPercent": ("min_health_percent", "percent", 0),
}
CLUSTER: Final = "topology.istio.io/cluster="
"""A label with a value in `failoverPriority`: endpoints of that cluster come first, whoever calls."""

OUTLIER_TIMES: Final = {"interval": ("interval", 10.0), "baseEjectionTime": ("base_ejection_time", 30.0)}
"""Fields of `outlierDetection`: the setting, its unit, and what holds where the block is there and the field is not."""


def read_destination(manifest: Manifest) -> ClusterRule:
    """The settings of the rule's `trafficPolicy`; those of subsets and single ports stand beside it and are not merged."""
    policy = child(manifest.spec, "trafficPolicy")
    found = [
        *_budget(manifest, policy),
        *_pool(manifest, policy),
        *_outliers(manifest, policy),
        *_locality(manifest, policy),
    ]
    return ClusterRule(first_label(str(manifest.spec.get("host", ""))), dict(found))


def _budget(manifest: Manifest, policy: Any) -> Iterator[tuple[str, Placed]]:
    """Ratio and floor. A floor is a rate only over an interval; without one it bounds retries at a time, which is no rate."""
    if policy.get("retryBudget") is None:
        return
    budget = child(policy, "retryBudget")
    ratio = manifest.amount(budget, "percent", "ratio", 1 / 100)
    yield "retry_budget_ratio", ratio or Placed(DEFAULT_PERCENT / 100, "ratio", manifest.place(budget, "percent"))
    interval = manifest.seconds(budget, "budgetInterval")
    if interval is not None and interval.value:
        # 0 is Istio's "not set".
        least = manifest.amount(budget, "minRetryConcurrency")
        rate = float(least.value if least and least.value else DEFAULT_CONCURRENCY) / float(interval.value)
        yield "retry_budget_min_per_s", Placed(rate, "per_s", manifest.place(budget, "minRetryConcurrency"))


def _pool(manifest: Manifest, policy: Any) -> Iterator[tuple[str, Placed]]:
    pool = child(policy, "connectionPool")
    for (protocol, key), setting in POOL.items():
        limit = manifest.amount(child(pool, protocol), key)
        # 0 is Istio's "not set".
        if limit is not None and limit.value:
            yield setting, limit
    connect = manifest.seconds(child(pool, "tcp"), "connectTimeout")
    if connect is not None:
        yield "connect_timeout", connect


def _locality(manifest: Manifest, policy: Any) -> Iterator[tuple[str, Placed]]:
    """Priorities, or weights between zones; a locality is REGION/ZONE/SUBZONE, and its zone is what is compared."""
    locality = child(policy, "loadBalancer", "localityLbSetting")
    place, labels = manifest.place(locality, "failoverPriority"), scalars(locality, "failoverPriority")
    clusters = [label.removeprefix(CLUSTER) for label in labels if label.startswith(CLUSTER)]
    if clusters:
        yield "failover_cluster", Placed(",".join(clusters), "names", place)
    if own := [label for label in labels if not label.startswith(CLUSTER)]:
        yield "locality_failover_priority", Placed(",".join(own), "names", place)
    if entries(locality, "distribute"):
        weights = {
            _zone(each.get("from")): dict(_parts(manifest, child(each, "to"))) for each in entries(locality, "distribute")
        }
        yield "locality_distribute", Placed(write_weights(weights), "names", manifest.place(locality, "distribute"))


def _parts(manifest: Manifest, to: Any) -> Iterator[tuple[str, int]]:
    for locality in to:
        part = manifest.amount(to, locality)
        if part is not None:
            yield _zone(locality), int(part.value)


def _zone(locality: Any) -> str:
    return [*str(locality).split("/"), ""][1]


def _outliers(manifest: Manifest, policy: Any) -> Iterator[tuple[str, Placed]]:
    if policy.get("outlierDetection") is None:
        return
    outliers = child(policy, "outlierDetection")
    # Istio switches Envoy's own off, and has no field for it. Source: pilot/pkg/networking/core/cluster_traffic_policy.go.
    yield "enforcing_success_rate", Placed(0, "percent", defaults_of("Istio", manifest.place(policy, "outlierDetection")))
    for key, (setting, unit, default) in OUTLIERS.items():
        given = manifest.amount(outliers, key, unit)
        if given is not None or default is not None:
            yield setting, given or Placed(default or 0, unit, defaults_of("Istio", manifest.place(outliers, key)))
    for key, (setting, default_s) in OUTLIER_TIMES.items():
        given = manifest.seconds(outliers, key)
        yield setting, given or Placed(default_s, "s", defaults_of("Istio", manifest.place(outliers, key)))
