"""Gateway API: HTTPRoute timeouts and (experimental) retries, XBackendTrafficPolicy for the retry budget.

Sources: gateway-api v1.6 apis/v1/httproute_types.go, apisx/v1alpha1/xbackendtrafficpolicy_types.go; GEP-2257 for durations.
"""

import math
from typing import Any, Final

from meshslo.analysis.policy.budgets import BUDGET_INTERVAL_S, least_repetitions
from meshslo.analysis.policy.durations import whole_duration
from meshslo.analysis.recommend.recommendation import Recommendation

from . import Document, Emission
from .access import GATEWAY_API as ACCESS
from .fields import GATEWAY_API, unexpressed
from .plan import CalleePolicy, Plan, RoutePolicy, Wanted, not_expressible
from .routes import foreign_routes, http_routes

PER_TRY: Final = (
    "the Gateway API's backendRequest is by its specification the whole response of an attempt: it would cut streams, although "
    "Envoy-based implementations stop it at the headers. The closest is the implementation's own policy "
    "(Envoy Gateway: BackendTrafficPolicy retry.perRetry.timeout)"
)
IDLE: Final = (
    "the Gateway API has no idle timeout. The closest is the implementation's own policy (Envoy Gateway: BackendTrafficPolicy "
    "timeout.http.streamIdleTimeout); the total timeout alone holds a silent stream until its end"
)
FIRST_TOKEN: Final = (
    "the Gateway API has no timer for the first token. The closest is the implementation's own idle timer (Envoy Gateway: "
    "BackendTrafficPolicy timeout.http.streamIdleTimeout; Envoy AI Gateway: streamIdleTimeout), which runs until it too"
)
WHOLE_PER_CENT: Final = (
    "the Gateway API's budget is a whole per cent: the closest above is {percent} %, which admits more repetitions than are "
    "known to be safe"
)
CONDITIONS: Final = (
    "the Gateway API's retry has status codes, and no conditions. Without codes connection errors alone are repeated, as "
    "implementations see fit (Istio adds refused-stream, unavailable and cancelled)"
)
NO_RETRIES: Final = (
    "the Gateway API cannot switch retries off: without the field an implementation's default may hold (Istio: 2). The closest "
    "is the implementation's own way (Istio: a VirtualService with attempts 0)"
)


class GatewayApiEmitter:
    """Writes the HTTPRoutes and the backend policy of each callee."""

    name = "gateway-api"

    def emit(self, plan: Plan) -> Emission:
        """One file a callee, for those of which the Gateway API can hold anything."""
        built = [_callee(policy, plan) for policy in plan.callees]
        documents = tuple(document for document, _ in built if document is not None)
        missing = [item for _, items in built for item in items]
        return Emission(documents, (*missing, *(not_expressible(item, ACCESS[item.kind]) for item in plan.access_items)))


def _callee(policy: CalleePolicy, plan: Plan) -> tuple[Document | None, list[Recommendation]]:
    missing = _unexpressed(policy)
    rules = [(route, _rule(wanted)) for wanted, route in http_routes(policy, plan)]
    for route, rule in rules:
        route["spec"]["rules"][0] |= rule
    # Routes that say nothing would only stand in the way of those in use.
    bodies = [route for route, _ in rules] if any(rule for _, rule in rules) else []
    if policy.budget:
        bodies.append(_backend_policy(policy, plan))
    if not bodies:
        return None, missing
    comments = [*policy.comments(missing), *foreign_routes(plan.manifests, policy.callee)]
    return Document.of(f"{policy.callee}.yaml", bodies, comments), missing


def _rule(wanted: RoutePolicy) -> dict[str, Any]:
    total_s = wanted.seconds("total_timeout")
    rule: dict[str, Any] = {} if total_s is None else {"timeouts": {"request": whole_duration(total_s)}}
    if wanted.attempts:
        rule["retry"] = {"attempts": wanted.attempts}
    return rule


def _backend_policy(policy: CalleePolicy, plan: Plan) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.networking.x-k8s.io/v1alpha1",
        "kind": "XBackendTrafficPolicy",
        "metadata": {"name": policy.callee, "namespace": plan.settings.namespace},
        "spec": {
            "targetRefs": [{"group": "", "kind": "Service", "name": policy.callee}],
            "retryConstraint": _constraint(
                policy.budget.get("retry_budget_ratio"), policy.budget.get("retry_budget_min_per_s")
            ),
        },
    }


def _constraint(ratio: Wanted | None, least: Wanted | None) -> dict[str, Any]:
    interval = whole_duration(BUDGET_INTERVAL_S)
    constraint: dict[str, Any] = {}
    if ratio is not None:
        constraint["budget"] = {"percent": _percent(ratio), "interval": interval}
    if least is not None:
        constraint["minRetryRate"] = {
            "count": least_repetitions(float(least.value)),
            "interval": interval,
        }
    return constraint


def _percent(ratio: Wanted) -> int:
    """A whole per cent: rounded up, so that what is safe to repeat fits in."""
    return max(1, math.ceil(float(ratio.value) * 100 - 1e-9))


def _unexpressed(policy: CalleePolicy) -> list[Recommendation]:
    found: dict[tuple[str, object], Recommendation] = {}
    for setting, why in (
        ("first_token_timeout", FIRST_TOKEN),
        ("per_try_timeout", PER_TRY),
        ("idle_gap_timeout", IDLE),
        ("retry_on", CONDITIONS),
    ):
        for route in policy.routes:
            for item in route.wanted[setting].items if setting in route.wanted else ():
                found[setting, item.target] = not_expressible(item, why)
    for route in policy.routes:
        for item in route.wanted["retry_attempts"].items if route.attempts == 0 else ():
            found["retry_attempts", item.target] = not_expressible(item, NO_RETRIES)
    ratio = policy.budget.get("retry_budget_ratio")
    if ratio is not None and not math.isclose(_percent(ratio), float(ratio.value) * 100):
        for item in ratio.items:
            found["retry_budget_ratio", item.target] = not_expressible(item, WHOLE_PER_CENT.format(percent=_percent(ratio)))
    return [*found.values(), *unexpressed(policy, GATEWAY_API)]


EMITTER = GatewayApiEmitter()
