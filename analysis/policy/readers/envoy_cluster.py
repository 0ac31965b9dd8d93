"""What an Envoy cluster sets for a callee: retry budget, circuit breakers, outlier detection, connect timeout.

Source: envoy.config.cluster.v3 Cluster, CircuitBreakers and OutlierDetection, with the defaults that their fields name.
"""

from collections.abc import Iterator
from typing import Any, Final

from meshslo.analysis.policy.deployed import ClusterRule
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries, first_label
from meshslo.analysis.policy.values import Placed, defaults_of

from .envoy_places import read_places

BUDGET_PERCENT: Final = 20.0
MIN_RETRY_CONCURRENCY: Final = 3
CONNECT_TIMEOUT_S: Final = 5.0

BREAKERS: Final = {
    "max_connections": ("max_connections", 1024),
    "max_pending_requests": ("max_pending", 1024),
    "max_requests": ("max_concurrent_requests", 1024),
    "max_retries": ("max_retries", 3),
}
"""Threshold -> setting, and the limit that holds where nobody set one."""

OUTLIERS: Final = {
    "consecutive_5xx": ("consecutive_5xx", "1", 5),
    "consecutive_gateway_failure": ("consecutive_gateway_failures", "1", 5),
    "max_ejection_percent": ("max_ejection_percent", "percent", 10),
    "enforcing_success_rate": ("enforcing_success_rate", "percent", 100),
    "success_rate_stdev_factor": ("success_rate_stdev_factor", "1", 1900),
    "success_rate_minimum_hosts": ("success_rate_minimum_hosts", "1", 5),
    "success_rate_request_volume": ("success_rate_request_volume", "1", 100),
    "failure_percentage_threshold": ("failure_percentage_threshold", "percent", 85),
    "failure_percentage_minimum_hosts": ("failure_percentage_minimum_hosts", "1", 5),
    "failure_percentage_request_volume": ("failure_percentage_request_volume", "1", 50),
}
UNENFORCED: Final = {
    "consecutive_gateway_failures": "enforcing_consecutive_gateway_failure",
    "failure_percentage_threshold": "enforcing_failure_percentage",
    "failure_percentage_minimum_hosts": "enforcing_failure_percentage",
    "failure_percentage_request_volume": "enforcing_failure_percentage",
}
"""Settings that Envoy counts by and does not act on unless this field says so."""

OUTLIER_TIMES: Final = {"interval": 10.0, "base_ejection_time": 30.0}


def find_clusters(body: Any) -> list[Any]:
    """Every cluster of the bootstrap."""
    return entries(body, "static_resources", "clusters")


def read_cluster(manifest: Manifest, cluster: Any) -> ClusterRule:
    """The settings of a cluster at default priority, Envoy's own limits where it names none."""
    thresholds = entries(cluster, "circuit_breakers", "thresholds")
    # The first of a priority is the one that holds.
    threshold = next((t for t in thresholds if t.get("priority", "DEFAULT") == "DEFAULT"), None)
    found = [*_breakers(manifest, cluster, threshold), *_budget(manifest, threshold), *_outliers(manifest, cluster)]
    found += read_places(manifest, cluster)
    connect = manifest.seconds(cluster, "connect_timeout")
    place = defaults_of("Envoy", manifest.place(cluster, "connect_timeout"))
    found.append(("connect_timeout", connect or Placed(CONNECT_TIMEOUT_S, "s", place)))
    return ClusterRule(first_label(str(cluster.get("name", ""))), dict(found))


def _breakers(manifest: Manifest, cluster: Any, threshold: Any | None) -> Iterator[tuple[str, Placed]]:
    for key, (setting, default) in BREAKERS.items():
        place = manifest.place(cluster, "circuit_breakers") if threshold is None else manifest.place(threshold, key)
        given = None if threshold is None else manifest.amount(threshold, key)
        yield setting, given or Placed(default, "1", defaults_of("Envoy", place))


def _budget(manifest: Manifest, threshold: Any | None) -> Iterator[tuple[str, Placed]]:
    """Ratio and floor. A floor is a rate only over an interval; without one it bounds retries at a time, which is no rate."""
    if threshold is None or threshold.get("retry_budget") is None:
        return
    budget = child(threshold, "retry_budget")
    ratio = manifest.amount(child(budget, "budget_percent"), "value", "ratio", 1 / 100)
    yield "retry_budget_ratio", ratio or Placed(BUDGET_PERCENT / 100, "ratio", manifest.place(budget, "budget_percent"))
    interval = manifest.seconds(budget, "budget_interval")
    if interval is not None and interval.value:
        least = manifest.amount(budget, "min_retry_concurrency")
        rate = float(least.value if least else MIN_RETRY_CONCURRENCY) / float(interval.value)
        yield "retry_budget_min_per_s", Placed(rate, "per_s", manifest.place(budget, "min_retry_concurrency"))


def _outliers(manifest: Manifest, cluster: Any) -> Iterator[tuple[str, Placed]]:
    if cluster.get("outlier_detection") is None:
        return
    outliers = child(cluster, "outlier_detection")
    for key, (setting, unit, default) in OUTLIERS.items():
        acted = manifest.amount(outliers, UNENFORCED[setting]) if setting in UNENFORCED else None
        if setting in UNENFORCED and not (acted and acted.value):
            continue
        given = manifest.amount(outliers, key, unit)
        yield setting, given or Placed(default, unit, defaults_of("Envoy", manifest.place(outliers, key)))
    for key, default_s in OUTLIER_TIMES.items():
        given = manifest.seconds(outliers, key)
        yield key, given or Placed(default_s, "s", defaults_of("Envoy", manifest.place(outliers, key)))
