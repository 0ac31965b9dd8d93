"""What manifests say beyond the recommended settings: back-off, breaker, a budget's floor and interval, longest stream.

Sources: envoy.config.route.v3 RetryPolicy.RetryBackOff and RouteAction.MaxStreamDuration, envoy.config.cluster.v3
CircuitBreakers (max_retries 3, budget_percent 20 %, min_retry_concurrency 3, budget_interval 0), HttpConnectionManager
common_http_protocol_options; istio/api networking/v1 (connectionPool.http.maxRetries 2^32-1, retryBudget, retries.backoff).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from meshslo.analysis.policy.deployed import ClusterRule, Deployed, Placed, RouteRule
from meshslo.analysis.policy.durations import parse_duration_s
from meshslo.analysis.policy.manifest import Manifest, first_label, items, load
from meshslo.analysis.policy.readers import envoy, istio

DEFAULT_BASE_S: Final = 0.025
LONGEST_BASES: Final = 10.0
"""The longest back-off, in base intervals."""
DEFAULT_LEAST: Final = 3.0
DEFAULT_RATIO: Final = 0.2
ENVOY_MAX_RETRIES: Final = 3.0
UNLIMITED: Final = math.inf


def read_limits(texts: Mapping[str, str], *, model_header: str = "x-model") -> Deployed:
    """What Envoy's and Istio's manifests (file name -> text) say of it, to be found as settings of routes and callees.

    Raises BadInputError naming file and line for what is no YAML.
    """
    manifests = [manifest for name, text in texts.items() for manifest in load(text, name)]
    routes: list[RouteRule] = []
    clusters: list[ClusterRule] = []
    for manifest in manifests:
        if envoy.READER.reads(manifest):
            routes += _envoy_routes(manifest, model_header)
            clusters += _envoy_clusters(manifest)
        elif istio.READER.reads(manifest):
            routes += _istio_routes(manifest, model_header)
            clusters += _istio_clusters(manifest)
    return Deployed(tuple(routes), tuple(clusters))


def _envoy_routes(manifest: Manifest, model_header: str) -> Iterator[RouteRule]:
    for found in envoy.find_routes(manifest.body):
        action = found.route["route"]
        retries = action.get("retry_policy") or found.host.get("retry_policy") or {}
        back_off = retries.get("retry_back_off") or {}
        settings = {
            **_seconds(manifest, "max_stream_duration", *_longest_stream(action, found.manager or {})),
            **_seconds(manifest, "retry_back_off", back_off, "base_interval"),
            **_seconds(manifest, "longest_retry_back_off", back_off, "max_interval"),
        }
        yield replace(envoy.read_route(manifest, found, model_header), settings=settings)


def _longest_stream(action: Any, manager: Any) -> tuple[Any, str]:
    """Where the longest stream is set: on the route (0 turns the listener's off), else on the listener."""
    own = action.get("max_stream_duration") or {}
    return (own if "max_stream_duration" in own else manager.get("common_http_protocol_options") or {}), "max_stream_duration"


def _envoy_clusters(manifest: Manifest) -> Iterator[ClusterRule]:
    for cluster in envoy.find_clusters(manifest.body):
        thresholds = items((cluster.get("circuit_breakers") or {}).get("thresholds"))
        own: Any = next((t for t in thresholds if t.get("priority", "DEFAULT") == "DEFAULT"), {})
        budget = own.get("retry_budget")
        settings = _budget(manifest, budget, "min_retry_concurrency", "budget_interval")
        if budget is None:
            settings = {"max_retries": Placed(float(own.get("max_retries", ENVOY_MAX_RETRIES)), "1", manifest.file)}
        yield ClusterRule(first_label(str(cluster.get("name", ""))), settings)


def _istio_routes(manifest: Manifest, model_header: str) -> Iterator[RouteRule]:
    if manifest.kind != "VirtualService":
        return
    spec = manifest.body.get("spec") or {}
    hosts = frozenset(first_label(str(host)) for host in items(spec.get("hosts"))) - {"*"}
    for http in items(spec.get("http")):
        settings = _seconds(manifest, "retry_back_off", http.get("retries") or {}, "backoff")
        for match in http.get("match") or [{}]:
            yield replace(istio.read_route(manifest, http, match, model_header, hosts), settings=settings)


def _istio_clusters(manifest: Manifest) -> Iterator[ClusterRule]:
    if manifest.kind != "DestinationRule":
        return
    spec = manifest.body.get("spec") or {}
    policy = spec.get("trafficPolicy") or {}
    pool = ((policy.get("connectionPool") or {}).get("http")) or {}
    settings = _budget(manifest, policy.get("retryBudget"), "minRetryConcurrency", "budgetInterval")
    if pool.get("maxRetries"):
        settings["max_retries"] = Placed(float(pool["maxRetries"]), "1", manifest.place(pool, "maxRetries"))
    yield ClusterRule(first_label(str(spec.get("host", ""))), settings)


def _budget(manifest: Manifest, budget: Any, least: str, interval: str) -> dict[str, Placed]:
    if budget is None:
        return {}
    # 0 counts as unset in Istio; in Envoy a floor of 0 is a floor of 0.
    floor = budget.get(least, DEFAULT_LEAST) if least == "min_retry_concurrency" else budget.get(least) or DEFAULT_LEAST
    own = {"min_retry_concurrency": Placed(float(floor), "1", manifest.place(budget, least))}
    value_s = parse_duration_s(str(budget.get(interval, "0s")))
    return own | {"retry_budget_interval": Placed(value_s, "s", manifest.place(budget, interval))}


def _seconds(manifest: Manifest, name: str, node: Any, key: str) -> dict[str, Placed]:
    if not node.get(key):
        return {}
    return {name: Placed(parse_duration_s(str(node[key])), "s", manifest.place(node, key))}
