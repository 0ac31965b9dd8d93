"""What manifests say that no recommendation is about: back-off, a budget's floor and interval, the longest stream.

Sources: envoy.config.route.v3 RetryPolicy.RetryBackOff and RouteAction.MaxStreamDuration, envoy.config.cluster.v3
CircuitBreakers.RetryBudget, HttpConnectionManager common_http_protocol_options; istio/api networking/v1 (retryBudget,
retries.backoff).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from .deployed import ClusterRule, Deployed, RouteRule
from .manifest import Manifest, load
from .node import child, entries, first_label, scalars
from .readers import envoy, istio
from .readers.envoy_cluster import find_clusters
from .values import Placed

DEFAULT_BASE_S: Final = 0.025
LONGEST_BASES: Final = 10.0
"""The longest back-off, in base intervals."""
DEFAULT_LEAST: Final = 3.0
DEFAULT_RATIO: Final = 0.2
UNLIMITED: Final = math.inf

Values = dict[str, Placed]


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
        elif manifest.is_a(istio.GROUP, "VirtualService"):
            routes += _istio_routes(manifest, model_header)
        elif manifest.is_a(istio.GROUP, "DestinationRule"):
            budget = child(manifest.spec, "trafficPolicy", "retryBudget")
            # 0 counts as unset.
            least = manifest.amount(budget, "minRetryConcurrency") if budget.get("minRetryConcurrency") else None
            settings = _given(min_retry_concurrency=least, retry_budget_interval=manifest.seconds(budget, "budgetInterval"))
            clusters.append(ClusterRule(first_label(str(manifest.spec.get("host", ""))), settings))
    return Deployed(tuple(routes), tuple(clusters))


def _given(**settings: Placed | None) -> Values:
    return {name: placed for name, placed in settings.items() if placed is not None}


def _envoy_routes(manifest: Manifest, model_header: str) -> Iterator[RouteRule]:
    for found in envoy.find_routes(manifest.body):
        action = found.route["route"]
        back_off = child(action.get("retry_policy") or child(found.host, "retry_policy"), "retry_back_off")
        settings = _given(
            max_stream_duration=_longest_stream(manifest, action, found.manager or {}),
            retry_back_off=manifest.seconds(back_off, "base_interval"),
            longest_retry_back_off=manifest.seconds(back_off, "max_interval"),
        )
        yield replace(envoy.read_route(manifest, found, model_header), settings=settings)


def _longest_stream(manifest: Manifest, action: Any, manager: Any) -> Placed | None:
    """The longest stream of the route (0 turns the listener's off), else of the listener."""
    own = child(action, "max_stream_duration")
    holder = own if "max_stream_duration" in own else child(manager, "common_http_protocol_options")
    return manifest.seconds(holder, "max_stream_duration")


def _envoy_clusters(manifest: Manifest) -> Iterator[ClusterRule]:
    for cluster in find_clusters(manifest.body):
        thresholds = entries(cluster, "circuit_breakers", "thresholds")
        threshold: Any = next((each for each in thresholds if each.get("priority", "DEFAULT") == "DEFAULT"), {})
        budget = child(threshold, "retry_budget")
        settings = _given(
            min_retry_concurrency=manifest.amount(budget, "min_retry_concurrency"),
            retry_budget_interval=manifest.seconds(budget, "budget_interval"),
        )
        yield ClusterRule(first_label(str(cluster.get("name", ""))), settings)


def _istio_routes(manifest: Manifest, model_header: str) -> Iterator[RouteRule]:
    hosts = frozenset(first_label(host) for host in scalars(manifest.spec, "hosts")) - {"*"}
    for http in entries(manifest.spec, "http"):
        settings = _given(retry_back_off=manifest.seconds(child(http, "retries"), "backoff"))
        for match in http.get("match") or [{}]:
            yield replace(istio.read_route(manifest, http, match, model_header, hosts), settings=settings)
