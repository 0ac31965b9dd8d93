"""Envoy's filter of who may call whom: HTTP RBAC by the URI names of the callers' certificates, paths and methods.

Sources: envoy.extensions.filters.http.rbac.v3, envoy.config.rbac.v3 (a principal `authenticated` needs a client certificate
that the listener's transport socket has asked for; shadow rules only count and log).
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from meshslo.analysis.policy.manifest import dump
from meshslo.analysis.recommend.recommendation import Recommendation

from . import Document
from .access import Access, Rule
from .plan import Plan, comments_of, not_expressible, route_regex

TYPE: Final = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"

STRICT: Final = (
    "Envoy asks for certificates in the listener's transport socket (DownstreamTlsContext with require_client_certificate and "
    "the CA to trust), which needs keys that are nobody's to write here"
)
HOSTS: Final = "Envoy calls no host without a cluster: what is not among the clusters cannot be called through it"


def access_documents(plan: Plan) -> Iterator[Document]:
    """A file with the filter for each service whose callers are known: it stands before the router."""
    for access in plan.accesses:
        if access.rules:
            comments = comments_of(access.items)
            yield Document(f"{access.callee}-rbac.yaml", "\n".join([*comments, dump(_filter(access, plan))]))


def unexpressed_access(plan: Plan) -> list[Recommendation]:
    """What of it a filter does not say."""
    strict = [item for access in plan.accesses for item in access.items if item.setting == "mtls_strict"]
    hosts = [item for outward in plan.outwards for item in outward.items]
    return [*(not_expressible(item, STRICT) for item in strict), *(not_expressible(item, HOSTS) for item in hosts)]


def _filter(access: Access, plan: Plan) -> dict[str, Any]:
    policies = {f"{access.callee}-{number}": _policy(rule) for number, rule in enumerate(access.rules, 1)}
    rules = {"action": "ALLOW", "policies": policies}
    config = {"@type": TYPE, ("shadow_rules" if plan.settings.dry_run else "rules"): rules}
    return {"name": "envoy.filters.http.rbac", "typed_config": config}


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
