"""Envoy's filters of who may call whom: HTTP RBAC by the URI names of callers' certificates, paths, methods, and hosts.

Sources: envoy.extensions.filters.http.rbac.v3, envoy.config.rbac.v3 (a principal `authenticated` needs a client certificate
that the listener's transport socket has asked for; shadow rules only count and log).
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from meshslo.analysis.recommend.recommendation import Recommendation

from . import Document
from .access import Outward, Rule
from .plan import COMMENT, Plan, comments_of, comments_on, not_expressible, route_regex

TYPE: Final = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"

STRICT: Final = (
    "Envoy asks for certificates in the listener's transport socket (DownstreamTlsContext with require_client_certificate and "
    "the CA to trust), which needs keys that are nobody's to write here"
)
OUTWARD: Final = (
    f"{COMMENT}stands before the router where the service's own proxy sends calls out, and sees the host of what it reads as "
    "HTTP; a call that is TLS already shows a server name alone, and a workload that goes round its proxy is not held"
)


def access_documents(plan: Plan) -> Iterator[Document]:
    """A file with the filter for each service whose callers are known, and for each that may call hosts outside.

    The first stands before the router of the service's own listener, the second before the one of its way out.
    """
    for access in plan.accesses:
        if access.rules:
            policies = {f"{access.callee}-{number}": _policy(rule) for number, rule in enumerate(access.rules, 1)}
            yield _document(f"{access.callee}-rbac.yaml", comments_on(access), policies, plan)
    for outward in plan.outwards:
        policies = {f"{outward.caller}-out": _way_out(outward, plan)}
        yield _document(f"{outward.caller}-egress.yaml", [*comments_of(outward.items), OUTWARD], policies, plan)


def unexpressed_access(plan: Plan) -> list[Recommendation]:
    """What of it a filter does not say."""
    strict = [item for access in plan.accesses for item in access.items if item.setting == "mtls_strict"]
    return [not_expressible(item, STRICT) for item in strict]


def _document(path: str, comments: list[str], policies: dict[str, Any], plan: Plan) -> Document:
    rules = {"action": "ALLOW", "policies": policies}
    config = {"@type": TYPE, ("shadow_rules" if plan.settings.dry_run else "rules"): rules}
    return Document.of(path, [{"name": "envoy.filters.http.rbac", "typed_config": config}], comments)


def _way_out(outward: Outward, plan: Plan) -> dict[str, Any]:
    """The hosts outside, and the names of the services inside that it calls; with a port or without."""
    inside = [name for callee in outward.inside for name in _names(callee, plan)]
    names = "|".join(re.escape(name) for name in dict.fromkeys([*outward.hosts, *inside]))
    authority = {"header": {"name": ":authority", "string_match": {"safe_regex": {"regex": f"(?i)({names})(:[0-9]+)?"}}}}
    return {"permissions": [authority if names else {"not_rule": {"any": True}}], "principals": [{"any": True}]}


def _names(callee: str, plan: Plan) -> list[str]:
    """What a service inside is called by: its host, and the short forms that Kubernetes resolves."""
    full = f"{callee}.{plan.settings.namespace}"
    return [plan.host(callee), callee, full, f"{full}.svc", f"{full}.svc.cluster.local"]


def _policy(rule: Rule) -> dict[str, Any]:
    permissions: list[dict[str, Any]] = []
    if rule.route is not None and rule.route.startswith("/"):
        permissions.append({"url_path": {"path": _path(rule.route)}})
    if rule.methods:
        methods = [{"header": {"name": ":method", "string_match": {"exact": method}}} for method in rule.methods]
        permissions.append({"or_rules": {"rules": methods}})
    principals = [{"authenticated": {"principal_name": {"exact": f"spiffe://{name}"}}} for name in rule.principals]
    permission = {"and_rules": {"rules": permissions}} if permissions else {"any": True}
    return {"permissions": [permission], "principals": principals}


def _path(route: str) -> dict[str, Any]:
    return {"safe_regex": {"regex": route_regex(route)}} if re.search(r"\{[^}]*\}", route) else {"exact": route}
