"""HTTPRoutes of the Gateway API with a Service as parent: what Linkerd and every other mesh that knows them have in common.

One route resource for each path and model: Linkerd's settings are annotations of the whole resource, and a resource may hold
16 rules only. Source: gateway-api apis/v1/httproute_types.go; GAMMA (GEP-1324) for Services as parents.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from meshslo.analysis.policy.manifest import load
from meshslo.analysis.policy.node import entries

from .plan import COMMENT, NAME_PREFIX, CalleePolicy, Plan, RoutePolicy, route_regex, strip_comments

GROUP: Final = "gateway.networking.k8s.io"


def http_routes(
    policy: CalleePolicy, plan: Plan, parent: Mapping[str, Any] | None = None
) -> list[tuple[RoutePolicy, dict[str, Any]]]:
    """A resource for each of the callee's routes, and one that takes everything else: unmatched calls are answered 404.

    They are attached to `parent`, to the callee's Service where none is given.
    """
    wanted = list(policy.routes)
    if wanted and all(each.route or each.model for each in wanted):
        wanted.append(RoutePolicy(None, None, {}))
    return [(each, _http_route(policy.callee, each, plan, parent)) for each in wanted]


def _http_route(callee: str, wanted: RoutePolicy, plan: Plan, parent: Mapping[str, Any] | None) -> dict[str, Any]:
    service = {"name": callee, "port": plan.settings.port}
    rule = {"matches": [_match(wanted, plan)], "backendRefs": [service]}
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": f"{NAME_PREFIX}{callee}-{wanted.label}", "namespace": plan.settings.namespace},
        "spec": {"parentRefs": [dict(parent or {"group": "", "kind": "Service", **service})], "rules": [rule]},
    }


def _match(wanted: RoutePolicy, plan: Plan) -> dict[str, Any]:
    match: dict[str, Any] = {"path": _path(wanted.route)}
    if wanted.model is not None:
        match["headers"] = [{"type": "Exact", "name": plan.settings.model_header, "value": wanted.model}]
    return match


def _path(route: str | None) -> dict[str, str]:
    if route is None or not route.startswith("/"):
        return {"type": "PathPrefix", "value": "/"}
    return {"type": "RegularExpression", "value": route_regex(route)} if "{" in route else {"type": "Exact", "value": route}


def foreign_routes(manifests: Mapping[str, str], callee: str) -> list[str]:
    """Comments that name HTTPRoutes in use to a callee that are not ours: where matches are equal, the oldest holds."""
    found = []
    for name, text in sorted(manifests.items()):
        for manifest in load(strip_comments(text), name):
            route = str((manifest.body.get("metadata") or {}).get("name", ""))
            if manifest.kind == "HTTPRoute" and not route.startswith(NAME_PREFIX) and callee in _leads_to(manifest.body):
                found.append(
                    f"{COMMENT}HTTPRoute {route} ({name}) is in use too: of equal matches the older route holds, so remove it"
                )
    return found


def _leads_to(body: Any) -> Iterable[str]:
    """Services that a route is attached to, or sends its calls to."""
    parents = entries(body, "spec", "parentRefs")
    backends = [ref for rule in entries(body, "spec", "rules") for ref in entries(rule, "backendRefs")]
    return [
        *(str(parent.get("name")) for parent in parents if parent.get("kind") == "Service"),
        *(str(ref.get("name")) for ref in backends),
    ]
