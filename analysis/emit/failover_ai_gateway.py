"""Envoy AI Gateway: providers in order, as priorities of the backends of an AIGatewayRoute.

A backend is an AIServiceBackend, called as the provider is. The route becomes an HTTPRoute of the same name, which the policy
with the ejection is attached to. Source: envoyproxy/ai-gateway v1.1 api/v1beta1 and examples/provider_fallback.
"""

from collections.abc import Sequence
from typing import Any, Final

from meshslo.analysis.policy.manifest import load_editable
from meshslo.analysis.policy.node import entries

from .plan import NAME_PREFIX, CalleePolicy, Plan, resource, strip_comments

SETTING: Final = "failover_provider"
KIND: Final = "AIGatewayRoute"
API: Final = "aigateway.envoyproxy.io/v1beta1"


def ai_routes(policy: CalleePolicy, plan: Plan, parent: dict[str, Any]) -> list[Any]:
    """The routes in use that lead to the preferred provider with its order set, else a new one; none where none is wanted."""
    if SETTING not in policy.others:
        return []
    names = str(policy.others[SETTING].value).split(",")
    in_use = [
        manifest.body
        for name, text in sorted(plan.manifests.items())
        for manifest in load_editable(strip_comments(text), name)
        if manifest.kind == KIND and any(_leads(rule, names) for rule in entries(manifest.spec, "rules"))
    ]
    rule: dict[str, Any] = {"backendRefs": [{"name": names[0]}]}
    spec = {"parentRefs": [parent], "rules": [rule]}
    bodies = in_use or [resource(API, KIND, f"{NAME_PREFIX}{policy.callee}-failover", plan, spec)]
    for body in bodies:
        for each in entries(body, "spec", "rules"):
            if _leads(each, names):
                _set_order(each["backendRefs"], names)
    return bodies


def _leads(rule: Any, names: Sequence[str]) -> bool:
    return any(ref.get("name") == names[0] for ref in entries(rule, "backendRefs"))


def _set_order(refs: list[Any], names: Sequence[str]) -> None:
    """Give the providers that are named their priorities, adding those that are not there; others come after them."""
    there = {ref.get("name") for ref in refs}
    refs += [{"name": name} for name in names if name not in there]
    for ref in refs:
        ref["priority"] = names.index(ref["name"]) if ref["name"] in names else max(len(names), ref.get("priority", 0))
