"""Reads static Envoy bootstraps and route configurations, Envoy's own defaults where a field is absent.

Source: envoy.config.route.v3 (RouteAction.timeout 15 s, RetryPolicy.num_retries 1), HttpConnectionManager
(stream_idle_timeout 5 min), envoy.config.cluster.v3 CircuitBreakers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from meshslo.analysis.policy.deployed import Deployed, PathKind, Placed, RouteRule, defaults_of
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries, first_label, scalars

from .envoy_cluster import find_clusters, read_cluster

__all__ = ["READER", "FoundRoute", "callee_of", "find_clusters", "find_routes", "hosts_of", "read_route"]

ROUTE_TIMEOUT_S: Final = 15.0
STREAM_IDLE_TIMEOUT_S: Final = 300.0
NUM_RETRIES: Final = 1


@dataclass(frozen=True)
class FoundRoute:
    """A route entry that leads to a cluster, with the mappings around it (round-trip form, so that it can be patched)."""

    route: Any
    siblings: Any
    host: Any
    manager: Any


def find_routes(body: Any) -> Iterator[FoundRoute]:
    """Every route with a cluster, in the order Envoy matches them, wherever its route configuration stands."""
    for manager, config in _route_configs(body):
        for host in entries(config, "virtual_hosts"):
            for route in entries(host, "routes"):
                if child(route, "route"):
                    yield FoundRoute(route, host["routes"], host, manager)


def _route_configs(node: Any, manager: Any = None) -> Iterator[tuple[Any, Any]]:
    if isinstance(node, dict):
        if "virtual_hosts" in node:
            yield manager, node
        for key, child in node.items():
            yield from _route_configs(child, node if key == "route_config" else manager)
    elif isinstance(node, list):
        for child in node:
            yield from _route_configs(child, manager)


def callee_of(action: Any) -> str:
    """The service that a route action leads to: its cluster's, or the first weighted cluster's."""
    weighted = entries(action, "weighted_clusters", "clusters")
    return first_label(str(action.get("cluster") or (weighted[0].get("name", "") if weighted else "")))


def hosts_of(host: Any) -> frozenset[str]:
    """Names that a virtual host goes by: its own and its domains' first labels."""
    return frozenset(map(first_label, [str(host.get("name", "")), *scalars(host, "domains")])) - {"*", ""}


class EnvoyReader:
    """Bootstraps (`static_resources`) and RouteConfigurations (`virtual_hosts`)."""

    def reads(self, manifest: Manifest) -> bool:
        """Whether it is Envoy's own configuration."""
        return "static_resources" in manifest.body or "virtual_hosts" in manifest.body

    def read(self, manifests: list[Manifest], model_header: str) -> Deployed:
        """Routes with their timeouts and retries, clusters with their retry budgets."""
        routes = [read_route(manifest, found, model_header) for manifest in manifests for found in find_routes(manifest.body)]
        clusters = [read_cluster(manifest, cluster) for manifest in manifests for cluster in find_clusters(manifest.body)]
        return Deployed(tuple(routes), tuple(clusters))


def read_route(manifest: Manifest, found: FoundRoute, model_header: str) -> RouteRule:
    """What a route matches, and its settings."""
    match = child(found.route, "match")
    kind, path = _path(match)
    models, others = _headers(match, model_header)
    return RouteRule(
        callee=callee_of(found.route["route"]),
        hosts=hosts_of(found.host),
        path_kind=kind,
        path=path,
        model=models[0] if models else None,
        partial=others or any(key in match for key in ("query_parameters", "grpc", "runtime_fraction", "dynamic_metadata")),
        name=str(found.route.get("name", "")),
        settings=_timeouts(manifest, found) | _retries(manifest, found),
    )


def _path(match: Any) -> tuple[PathKind, str]:
    if "path" in match:
        return "exact", str(match["path"])
    if "safe_regex" in match:
        return "regex", str(child(match, "safe_regex").get("regex", ""))
    prefix = match.get("prefix", match.get("path_separated_prefix"))
    return ("any", "") if prefix is None else ("prefix", str(prefix))


def _headers(match: Any, model_header: str) -> tuple[list[str], bool]:
    """Models that the header conditions name, and whether there are other conditions."""
    models, others = [], False
    for header in entries(match, "headers"):
        exact = child(header, "string_match").get("exact", header.get("exact_match"))
        if header.get("name") == model_header and exact is not None:
            models.append(str(exact))
        else:
            others = True
    return models, others


def _timeouts(manifest: Manifest, found: FoundRoute) -> dict[str, Placed]:
    action, manager = child(found.route, "route"), found.manager or {}
    total = _duration(manifest, action, "timeout", ROUTE_TIMEOUT_S)
    idle_holder, key = (action, "idle_timeout") if "idle_timeout" in action else (manager, "stream_idle_timeout")
    idle = _duration(manifest, idle_holder, key, STREAM_IDLE_TIMEOUT_S)
    settings = {"total_timeout": total, "idle_gap_timeout": idle}
    return {name: placed for name, placed in settings.items() if placed is not None}


def _duration(manifest: Manifest, node: Any, key: str, default_s: float) -> Placed | None:
    """The duration at `key`, Envoy's default where it is absent, None where it is 0: no timer."""
    given = manifest.seconds(node, key)
    if given is None:
        return Placed(default_s, "s", defaults_of("Envoy", manifest.place(node, key)))
    return given if given.value else None


def _retries(manifest: Manifest, found: FoundRoute) -> dict[str, Placed]:
    action = child(found.route, "route")
    holder = action if action.get("retry_policy") is not None else found.host
    if holder.get("retry_policy") is None:
        return {"retry_attempts": Placed(0, "1", defaults_of("Envoy", manifest.place(action, "retry_policy")))}
    policy = child(holder, "retry_policy")
    attempts = manifest.amount(policy, "num_retries")
    settings = {"retry_attempts": attempts or Placed(NUM_RETRIES, "1", manifest.place(policy, "num_retries"))}
    if policy.get("retry_on"):
        settings["retry_on"] = Placed(str(policy["retry_on"]), "conditions", manifest.place(policy, "retry_on"))
    per_try = manifest.seconds(policy, "per_try_timeout")
    if per_try is None:
        return settings
    # A timer that hedges ends nothing: the second call runs beside the first.
    hedges = child(action, "hedge_policy").get("hedge_on_per_try_timeout")
    return settings | {"hedge_delay" if hedges else "per_try_timeout": per_try}


READER = EnvoyReader()
