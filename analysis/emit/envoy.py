"""Envoy: the bootstraps in use with timeouts, retries and budgets set, or a skeleton for each callee where none is given.

Sources: envoy.config.route.v3 RouteAction and RetryPolicy, envoy.config.cluster.v3 CircuitBreakers, router.cc.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshslo.analysis.policy.budgets import BUDGET_INTERVAL_S, least_repetitions
from meshslo.analysis.policy.deployed import RouteRule
from meshslo.analysis.policy.durations import decimal_duration
from meshslo.analysis.policy.manifest import Manifest, first_label, load_editable
from meshslo.analysis.policy.readers.envoy import FoundRoute, find_routes, read_route
from meshslo.analysis.policy.readers.envoy_cluster import find_clusters
from meshslo.analysis.policy.settings import SAFE_CONDITIONS
from meshslo.analysis.policy.versions import has_field

from . import Document, Emission
from .access_envoy import access_documents, unexpressed_access
from .fields import (
    ENVOY_ASSIGNMENT,
    ENVOY_BREAKERS,
    ENVOY_CONNECT,
    ENVOY_OUTLIERS,
    ENVOY_UNASKED,
    ENVOY_UNENFORCED,
    put,
    unexpressed,
)
from .locality_envoy import lacking, set_localities
from .plan import NAME_PREFIX, CalleePolicy, Plan, RoutePolicy, Wanted, route_regex, strip_comments

BUDGET_INTERVAL: Final = "circuit_breakers.thresholds[].retry_budget.budget_interval"
"""With an interval the budget is a share of calls started in it; without, of those active: with long streams, many more."""

TYPE: Final = "type.googleapis.com/envoy.extensions.filters"


class EnvoyEmitter:
    """Patches or writes bootstraps."""

    name = "envoy"

    def emit(self, plan: Plan) -> Emission:
        """The bootstraps of `plan.manifests` that lead to a callee, else a skeleton for each callee."""
        if plan.manifests:
            patched = (_patched(name, text, plan) for name, text in sorted(plan.manifests.items()))
            documents = tuple(document for document in patched if document is not None)
        else:
            documents = tuple(_skeleton(callee, plan) for callee in plan.callees)
        bodies = [m.body for name, text in plan.manifests.items() for m in load_editable(text, name) if _is_envoy(m)]
        lacks = [item for policy in plan.callees for item in unexpressed(policy, lacking(policy, bodies))]
        return Emission((*documents, *access_documents(plan)), (*unexpressed_access(plan), *lacks))


def _patched(name: str, text: str, plan: Plan) -> Document | None:
    """The file with every callee's settings; None where it leads to none of them."""
    manifests = load_editable(strip_comments(text), name)
    comments: list[str] = []
    for manifest in filter(_is_envoy, manifests):
        _drop_added(manifest)
        for callee in plan.callees:
            if _patch(manifest, callee, plan):
                comments += callee.comments()
    if not comments:
        return None
    # JSON has no comments: what was JSON becomes YAML, which Envoy tells by the suffix.
    path = f"{name.removesuffix('.json')}.yaml" if name.endswith(".json") else name
    return Document.of(path, (manifest.body for manifest in manifests), comments)


def _is_envoy(manifest: Manifest) -> bool:
    return "static_resources" in manifest.body or "virtual_hosts" in manifest.body


def _patch(manifest: Manifest, policy: CalleePolicy, plan: Plan) -> bool:
    """Set the policy in a bootstrap; whether it leads to the callee at all."""
    touched = False
    for wanted in policy.routes:
        touched |= _patch_route(manifest, policy, wanted, plan)
    for cluster in find_clusters(manifest.body):
        if first_label(str(cluster.get("name", ""))) == policy.callee and (policy.budget or policy.others):
            set_cluster(cluster, policy, plan)
            set_localities(manifest.body, cluster, policy.others)
            touched = True
    return touched


def _drop_added(manifest: Manifest) -> None:
    for found in list(find_routes(manifest.body)):
        if str(found.route.get("name", "")).startswith(NAME_PREFIX):
            found.siblings.remove(found.route)


def _patch_route(manifest: Manifest, policy: CalleePolicy, wanted: RoutePolicy, plan: Plan) -> bool:
    """In each virtual host: change the route that is meant, or add a narrower one before the first that covers it."""
    touched = False
    header = plan.settings.model_header
    for routes in _route_lists(manifest, policy.callee, header):
        covering = next(((f, rule) for f, rule in routes if rule.covers(wanted.route, wanted.model)), None)
        if covering is None:
            continue
        found, rule = covering
        set_policy(found.route if _means(rule, wanted) else _narrower(found, wanted, policy.callee, header), wanted)
        touched = True
    return touched


def _route_lists(manifest: Manifest, callee: str, header: str) -> list[list[tuple[FoundRoute, RouteRule]]]:
    """For each virtual host that leads to the callee, its routes with what they match, in order."""
    hosts: dict[int, list[tuple[FoundRoute, RouteRule]]] = {}
    for found in find_routes(manifest.body):
        hosts.setdefault(id(found.siblings), []).append((found, read_route(manifest, found, header)))
    by_cluster = [[pair for pair in pairs if pair[1].callee == callee] for pairs in hosts.values()]
    by_host = [[pair for pair in pairs if callee in pair[1].hosts] for pairs in hosts.values()]
    return [pairs for pairs in by_cluster if pairs] or [pairs for pairs in by_host if pairs]


def _means(rule: RouteRule, wanted: RoutePolicy) -> bool:
    """Whether a route matches just what is wanted, so that it is changed and no narrower one is added."""
    if rule.model != wanted.model:
        return False
    if wanted.route is None or not wanted.route.startswith("/"):
        return rule.path_kind == "any" or (rule.path_kind == "prefix" and rule.path in ("/", ""))
    return rule.path == wanted.route or (rule.path_kind == "regex" and rule.path == route_regex(wanted.route))


def _narrower(found: FoundRoute, wanted: RoutePolicy, callee: str, header: str) -> Any:
    """A copy of a route for one path and model, placed before it."""
    route = copy.deepcopy(found.route)
    route.pop("name", None)
    route.insert(0, "name", f"{NAME_PREFIX}{callee}-{wanted.label}")
    match = route["match"]
    if wanted.route is not None and match.get("path") != wanted.route:
        for key in ("prefix", "path", "safe_regex", "path_separated_prefix"):
            match.pop(key, None)
        match.update(path_match(wanted.route))
    if wanted.model is not None:
        others = [other for other in match.get("headers", []) if other.get("name") != header]
        match["headers"] = [*others, {"name": header, "string_match": {"exact": wanted.model}}]
    at = next(n for n, sibling in enumerate(found.siblings) if sibling is found.route)
    found.siblings.insert(at, route)
    return route


def path_match(route: str) -> dict[str, Any]:
    """Envoy's match of a route template; anything that is no path matches all.

    >>> path_match("/v1/chat"), path_match("/items/{id}")
    ({'path': '/v1/chat'}, {'safe_regex': {'regex': '/items/[^/]+'}})
    """
    if not route.startswith("/"):
        return {"prefix": "/"}
    return {"safe_regex": {"regex": route_regex(route)}} if "{" in route else {"path": route}


def set_policy(route: Any, wanted: RoutePolicy) -> None:
    """Set timeouts and retries of a route; what is not wanted stays."""
    action = route["route"]
    for setting, key in (("total_timeout", "timeout"), ("idle_gap_timeout", "idle_timeout")):
        value_s = wanted.seconds(setting)
        if value_s is not None:
            action[key] = decimal_duration(value_s)
    _set_retries(action, wanted)
    _set_hedge(action, wanted)


def _set_hedge(action: Any, wanted: RoutePolicy) -> None:
    """Send a second call beside the first: Envoy does so when the attempt's timer fires, where one retry is allowed."""
    delay_s = wanted.seconds("hedge_delay")
    if delay_s is None:
        return
    policy = action.get("retry_policy") or {}
    # Without any condition there is no retry state at all, and without that no hedging.
    policy |= {"retry_on": policy.get("retry_on") or ",".join(SAFE_CONDITIONS)}
    policy |= {"num_retries": max(1, policy.get("num_retries", 1)), "per_try_timeout": decimal_duration(delay_s)}
    action |= {"retry_policy": policy, "hedge_policy": {"hedge_on_per_try_timeout": True}}


def _set_retries(action: Any, wanted: RoutePolicy) -> None:
    if wanted.attempts is None and wanted.per_try_s is None:
        return
    policy = action.get("retry_policy") or {}
    if wanted.attempts == 0:
        # Said, not left out: the virtual host's own policy would hold otherwise.
        policy = {}
    policy["num_retries"] = policy.get("num_retries", 0) if wanted.attempts is None else wanted.attempts
    if wanted.conditions is not None:
        policy["retry_on"] = wanted.conditions
    if wanted.per_try_s is not None:
        policy["per_try_timeout"] = decimal_duration(wanted.per_try_s)
    action["retry_policy"] = policy


def set_cluster(cluster: Any, policy: CalleePolicy, plan: Plan) -> None:
    """Set a cluster's retry budget, breakers and ejection; what else it has stays."""
    if policy.budget:
        _threshold(cluster)["retry_budget"] = dict(_budget(policy.budget, plan))
    if any(name in ENVOY_BREAKERS for name in policy.others):
        put(_threshold(cluster), policy.others, ENVOY_BREAKERS)
    put(cluster, policy.others, ENVOY_CONNECT | ENVOY_ASSIGNMENT)
    is_new = "outlier_detection" not in cluster
    if put(cluster, policy.others, ENVOY_OUTLIERS) and "outlier_detection" in cluster:
        outliers = cluster["outlier_detection"]
        outliers.update({name: off for name, off in ENVOY_UNASKED.items() if is_new and name not in outliers})
        for name, enforced in ENVOY_UNENFORCED.items():
            outliers.update(enforced if name in policy.others else {})


def _threshold(cluster: Any) -> Any:
    """The cluster's threshold of default priority, made where there is none."""
    thresholds = cluster.setdefault("circuit_breakers", {}).setdefault("thresholds", [])
    threshold = next((t for t in thresholds if t.get("priority", "DEFAULT") == "DEFAULT"), None)
    if threshold is None:
        threshold = {}
        thresholds.append(threshold)
    return threshold


def _budget(budget: Mapping[str, Wanted], plan: Plan) -> Iterator[tuple[str, Any]]:
    if "retry_budget_ratio" in budget:
        yield "budget_percent", {"value": round(float(budget["retry_budget_ratio"].value) * 100, 6)}
    least = float(budget["retry_budget_min_per_s"].value) if "retry_budget_min_per_s" in budget else 0.0
    yield "min_retry_concurrency", least_repetitions(least)
    if has_field("envoy", BUDGET_INTERVAL, plan.version("envoy")):
        yield "budget_interval", decimal_duration(BUDGET_INTERVAL_S)


def _skeleton(policy: CalleePolicy, plan: Plan) -> Document:
    """A bootstrap that stands in front of the callee: to be completed with addresses, TLS and tracing of one's own."""
    routes = [_new_route(policy.callee, wanted, plan) for wanted in policy.routes if wanted.route or wanted.model]
    others = next((wanted for wanted in policy.routes if not wanted.route and not wanted.model), RoutePolicy(None, None, {}))
    routes.append(_new_route(policy.callee, others, plan))
    cluster = _cluster(policy.callee, plan)
    set_cluster(cluster, policy, plan)
    body = {"static_resources": {"listeners": [_listener(policy.callee, routes, plan)], "clusters": [cluster]}}
    return Document.of(f"{policy.callee}.yaml", [body], policy.comments())


def _new_route(callee: str, wanted: RoutePolicy, plan: Plan) -> dict[str, Any]:
    match: dict[str, Any] = {"prefix": "/"} if wanted.route is None else path_match(wanted.route)
    if wanted.model is not None:
        match["headers"] = [{"name": plan.settings.model_header, "string_match": {"exact": wanted.model}}]
    # The route that takes everything else is nobody's addition: it stays when the narrower ones are made anew.
    name = f"{NAME_PREFIX}{callee}-{wanted.label}" if wanted.route or wanted.model else callee
    # Without a timeout of its own Envoy's 15 s would cut every stream.
    route = {"name": name, "match": match, "route": {"cluster": callee, "timeout": "0s"}}
    set_policy(route, wanted)
    return route


def _listener(callee: str, routes: list[dict[str, Any]], plan: Plan) -> dict[str, Any]:
    router = {"@type": f"{TYPE}.http.router.v3.Router"}
    manager = {
        "@type": f"{TYPE}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": callee,
        "route_config": {"name": callee, "virtual_hosts": [{"name": callee, "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {"name": callee, "address": _address("127.0.0.1", plan.settings.port), "filter_chains": [{"filters": filters}]}


def _cluster(callee: str, plan: Plan) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(plan.host(callee), plan.settings.port)}}
    return {
        "name": callee,
        "type": "STRICT_DNS",
        "load_assignment": {"cluster_name": callee, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


EMITTER = EnvoyEmitter()
