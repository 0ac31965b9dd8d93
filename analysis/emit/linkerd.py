"""Linkerd (2.16 and later): HTTPRoutes with timeout and retry annotations, which the caller's proxy enforces; ejection.

Sources: linkerd.io reference/{timeouts,retries}, policy-controller outbound index (durations of one whole number and one unit,
unreadable ones dropped silently), linkerd2-proxy route/extensions.
"""

from typing import Any, Final

from meshslo.analysis.policy.durations import whole_duration
from meshslo.analysis.recommend.recommendation import Recommendation

from . import Document, Emission
from .access_linkerd import access_documents, unexpressed_access
from .ejection_linkerd import HELD, ejecting_services
from .fields import LINKERD, unexpressed
from .plan import CalleePolicy, Plan, RoutePolicy, not_expressible
from .routes import foreign_routes, http_routes

PER_TRY: Final = (
    "Linkerd's retry.linkerd.io/timeout ends an attempt without headers, but not the last one: it is no limit of the wait. The "
    "closest is timeout.linkerd.io/idle (idle_gap_timeout), which also runs before the headers"
)
FIRST_TOKEN: Final = (
    "Linkerd has no timer for the first token. The closest is timeout.linkerd.io/idle (idle_gap_timeout), which runs until the "
    "first byte too and has the same value for every silence after it"
)
CONDITIONS: Final = (
    "Linkerd retries on status codes only, which the callee sends after it has run; connect failures cannot be chosen. The "
    "closest is retry.linkerd.io/limit alone: it repeats where no endpoint was ready and on REFUSED_STREAM, nothing begun"
)
BUDGET: Final = (
    "Linkerd's annotations have no retry budget. The closest is a ServiceProfile's retryBudget, but a ServiceProfile disables "
    "all timeout and retry annotations and the circuit breaker of the Service: in an outage every call is repeated once"
)


class LinkerdEmitter:
    """Writes the HTTPRoutes of each callee, and its Service where that is among the manifests in use."""

    name = "linkerd"

    def emit(self, plan: Plan) -> Emission:
        """One file a callee, for those of which Linkerd can hold anything."""
        built = [_callee(policy, plan) for policy in plan.callees]
        documents = [document for document, _ in built if document is not None]
        missing = [item for _, missing in built for item in missing]
        return Emission((*documents, *access_documents(plan)), (*missing, *unexpressed_access(plan)))


def _callee(policy: CalleePolicy, plan: Plan) -> tuple[Document | None, list[Recommendation]]:
    bodies, unheld = ejecting_services(policy, plan.manifests)
    missing = [*_unexpressed(policy), *unheld]
    routes = http_routes(policy, plan)
    for wanted, route in routes:
        annotations = dict(_annotations(wanted))
        if annotations:
            route["metadata"]["annotations"] = annotations
    if any("annotations" in route["metadata"] for _, route in routes):
        bodies += [route for _, route in routes]
    if not bodies:
        return None, missing
    comments = [*policy.comments(missing), *foreign_routes(plan.manifests, policy.callee)]
    return Document.of(f"{policy.callee}.yaml", bodies, comments), missing


def _annotations(wanted: RoutePolicy) -> dict[str, Any]:
    annotations = {}
    for setting, name in (("total_timeout", "request"), ("idle_gap_timeout", "idle")):
        value_s = wanted.seconds(setting)
        if value_s is not None:
            annotations[f"timeout.linkerd.io/{name}"] = whole_duration(value_s)
    if wanted.attempts:
        annotations["retry.linkerd.io/limit"] = str(wanted.attempts)
    return annotations


def _unexpressed(policy: CalleePolicy) -> list[Recommendation]:
    found: dict[tuple[str, object], Recommendation] = {}
    for setting, why in (("first_token_timeout", FIRST_TOKEN), ("per_try_timeout", PER_TRY), ("retry_on", CONDITIONS)):
        for route in policy.routes:
            for item in route.wanted[setting].items if setting in route.wanted else ():
                found[setting, item.target] = not_expressible(item, why)
    for setting, budget in policy.budget.items():
        for item in budget.items:
            found[setting, item.target] = not_expressible(item, BUDGET)
    return [*found.values(), *(item for item in unexpressed(policy, LINKERD) if item.setting not in HELD)]


EMITTER = LinkerdEmitter()
