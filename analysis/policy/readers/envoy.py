"""Reads static Envoy bootstraps and route configurations, Envoy's own defaults where a field is absent.

Source: envoy.config.route.v3 (RouteAction.timeout 15 s, RetryPolicy.num_retries 1), HttpConnectionManager
(stream_idle_timeout 5 min), envoy.config.cluster.v3 CircuitBreakers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from meshslo.analysis.policy.deployed import ClusterRule, Deployed, PathKind, Placed, RouteRule, defaults_of
from meshslo.analysis.policy.durations import parse_duration_s
from meshslo.analysis.policy.manifest import Manifest, first_label, items

ROUTE_TIMEOUT_S: Final = 15.0
STREAM_IDLE_TIMEOUT_S: Final = 300.0
NUM_RETRIES: Final = 1
BUDGET_PERCENT: Final = 20.0
MIN_RETRY_CONCURRENCY: Final = 3


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
        for host in items(config.get("virtual_hosts")):
            for route in items(host.get("routes")):
                if "route" in route:
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


def find_clusters(body: Any) -> Iterator[Any]:
    """Every cluster of the bootstrap, or the body itself where it is one."""
    yield from items((body.get("static_resources") or {}).get("clusters"))


def callee_of(action: Any) -> str:
    """The service that a route action leads to: its cluster's, or the first weighted cluster's."""
    weighted = list(items((action.get("weighted_clusters") or {}).get("clusters")))
    return first_label(str(action.get("cluster") or (weighted[0].get("name", "") if weighted else "")))


def hosts_of(host: Any) -> frozenset[str]:
    """Names that a virtual host goes by: its own and its domains' first labels."""
    return frozenset(first_label(str(name)) for name in [host.get("name", ""), *items(host.get("domains"))]) - {"*", ""}


class EnvoyReader:
    """Bootstraps (`static_resources`) and RouteConfigurations (`virtual_hosts`)."""

    def reads(self, manifest: Manifest) -> bool:
        """Whether it is Envoy's own configuration."""
        return "static_resources" in manifest.body or "virtual_hosts" in manifest.body

    def read(self, manifests: list[Manifest], model_header: str) -> Deployed:
        """Routes with their timeouts and retries, clusters with their retry budgets."""
        routes = [read_route(manifest, found, model_header) for manifest in manifests for found in find_routes(manifest.body)]
        clusters = [_cluster(manifest, cluster) for manifest in manifests for cluster in find_clusters(manifest.body)]
        return Deployed(tuple(routes), tuple(cluster for cluster in clusters if cluster.settings))


def read_route(manifest: Manifest, found: FoundRoute, model_header: str) -> RouteRule:
    """What a route matches, and its settings."""
    match = found.route.get("match") or {}
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
        return "regex", str(match["safe_regex"].get("regex", ""))
    prefix = match.get("prefix", match.get("path_separated_prefix"))
    return ("any", "") if prefix is None else ("prefix", str(prefix))


def _headers(match: Any, model_header: str) -> tuple[list[str], bool]:
    """Models that the header conditions name, and whether there are other conditions."""
    models, others = [], False
    for header in items(match.get("headers")):
        exact = (header.get("string_match") or {}).get("exact", header.get("exact_match"))
        if header.get("name") == model_header and exact is not None:
            models.append(str(exact))
        else:
            others = True
    return models, others


def _timeouts(manifest: Manifest, found: FoundRoute) -> dict[str, Placed]:
    action, manager = found.route["route"], found.manager or {}
    total = _duration(manifest, action, "timeout", ROUTE_TIMEOUT_S)
    idle_holder, key = (action, "idle_timeout") if "idle_timeout" in action else (manager, "stream_idle_timeout")
    idle = _duration(manifest, idle_holder, key, STREAM_IDLE_TIMEOUT_S)
    settings = {"total_timeout": total, "idle_gap_timeout": idle}
    return {name: placed for name, placed in settings.items() if placed is not None}


def _duration(manifest: Manifest, node: Any, key: str, default_s: float) -> Placed | None:
    """The duration at `key`, Envoy's default where it is absent, None where it is 0: no timer."""
    if node.get(key) is None:
        return Placed(default_s, "s", defaults_of("Envoy", manifest.place(node, key)))
    value_s = parse_duration_s(str(node[key]))
    return Placed(value_s, "s", manifest.place(node, key)) if value_s > 0 else None


def _retries(manifest: Manifest, found: FoundRoute) -> dict[str, Placed]:
    action = found.route["route"]
    holder = action if action.get("retry_policy") is not None else found.host
    policy = holder.get("retry_policy")
    if policy is None:
        return {"retry_attempts": Placed(0, "1", defaults_of("Envoy", manifest.place(action, "retry_policy")))}
    count = int(policy.get("num_retries", NUM_RETRIES))
    settings = {"retry_attempts": Placed(count, "1", manifest.place(policy, "num_retries"))}
    if policy.get("retry_on"):
        settings["retry_on"] = Placed(str(policy["retry_on"]), "conditions", manifest.place(policy, "retry_on"))
    if policy.get("per_try_timeout"):
        value_s = parse_duration_s(str(policy["per_try_timeout"]))
        settings["per_try_timeout"] = Placed(value_s, "s", manifest.place(policy, "per_try_timeout"))
    return settings


def _cluster(manifest: Manifest, cluster: Any) -> ClusterRule:
    thresholds = items((cluster.get("circuit_breakers") or {}).get("thresholds"))
    budgets = [t["retry_budget"] for t in thresholds if t.get("retry_budget") and t.get("priority", "DEFAULT") == "DEFAULT"]
    return ClusterRule(first_label(str(cluster.get("name", ""))), _budget(manifest, budgets[0]) if budgets else {})


def _budget(manifest: Manifest, budget: Any) -> dict[str, Placed]:
    """Ratio and floor. A floor is a rate only over an interval; without one it bounds retries at a time, which is no rate."""
    percent = float((budget.get("budget_percent") or {}).get("value", BUDGET_PERCENT))
    settings = {"retry_budget_ratio": Placed(percent / 100, "ratio", manifest.place(budget, "budget_percent"))}
    if budget.get("budget_interval"):
        least = float(budget.get("min_retry_concurrency", MIN_RETRY_CONCURRENCY))
        rate = least / parse_duration_s(str(budget["budget_interval"]))
        settings["retry_budget_min_per_s"] = Placed(rate, "per_s", manifest.place(budget, "min_retry_concurrency"))
    return settings


READER = EnvoyReader()
