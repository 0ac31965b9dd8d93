"""Envoy Gateway: an HTTPRoute for each path and model, with a BackendTrafficPolicy that holds what the route cannot.

Source: envoyproxy/gateway v1.9 api/v1alpha1 (timeout_types.go, retry_types.go, circuitbreaker_types.go, healthcheck_types.go)
and internal/xds/translator/route.go: without a `retry` block nothing is repeated; a policy on a route replaces its Gateway's.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshslo.analysis.policy.budgets import least_repetitions
from meshslo.analysis.policy.durations import whole_duration
from meshslo.analysis.policy.readers import envoy_gateway as reader
from meshslo.analysis.policy.versions import Version, has_field
from meshslo.analysis.recommend.recommendation import Recommendation

from . import Document, Emission
from .access import GATEWAY_API as ACCESS
from .failover_ai_gateway import SETTING as PROVIDERS
from .failover_ai_gateway import ai_routes
from .fields import GATEWAY_API as LATER
from .fields import Path, lacking, put, unexpressed
from .plan import CalleePolicy, Plan, RoutePolicy, Wanted, not_expressible
from .routes import GROUP as ROUTES
from .routes import foreign_routes, http_routes

IDLE: Final = "timeout.http.streamIdleTimeout"
BUDGET: Final = "circuitBreaker.retryBudget"

FIELDS: Final[dict[str, Path]] = {
    **{setting: ("circuitBreaker", key) for key, (setting, _) in reader.BREAKERS.items()},
    **{setting: ("healthCheck", "passive", key) for key, (setting, *_) in reader.OUTLIERS.items()},
    **{setting: ("healthCheck", "passive", key) for key, (setting, _) in reader.OUTLIER_TIMES.items()},
    "connect_timeout": ("timeout", "tcp", "connectTimeout"),
}
"""Setting of a callee -> field of the policy."""

FIRST_TOKEN: Final = (
    "Envoy Gateway has no timer for the first token. The closest is streamIdleTimeout (idle_gap_timeout), which runs until it "
    "too and has the same value for every silence after it"
)
PER_TRY: Final = (
    "Envoy Gateway has perRetry.timeout inside `retry` alone: without repetitions the closest is streamIdleTimeout "
    "(idle_gap_timeout), which also runs before the headers"
)
OLD_IDLE: Final = "Envoy Gateway has streamIdleTimeout of a route from 1.8 on; before, the closest is the ClientTrafficPolicy's"
OLD_BUDGET: Final = "Envoy Gateway has retryBudget from 1.8 on; before, maxParallelRetries bounds the number at a time"
CONCURRENCY: Final = (
    "Envoy Gateway's budget has no interval: it is a share of the requests active at that moment, and with long streams it "
    "admits many more retries than the same share of calls"
)
LACKS: Final = {
    "locality": (
        "Envoy Gateway has no order of zones by label. The closest is loadBalancer.zoneAware: preferLocal (the proxy's own "
        "zone, where pods are left there) or weightedZones, which are one list for the callers of all zones alike: a zone that "
        "is full gets its share from everywhere"
    ),
    **dict.fromkeys(
        ("failure_percentage_minimum_hosts", "failure_percentage_request_volume"),
        "Envoy Gateway has failurePercentageThreshold alone. The closest are Envoy's own 5 pods with 50 answers each in an "
        "interval, which then hold: with fewer it never ejects for it",
    ),
    **dict.fromkeys(
        (
            "enforcing_success_rate",
            "success_rate_stdev_factor",
            "success_rate_minimum_hosts",
            "success_rate_request_volume",
        ),
        "Envoy Gateway has no field for success rate and leaves Envoy's own on (1.9 deviations, 5 pods with 100 answers each): "
        "where failures are rare, one alone ejects a healthy pod. The closest is an EnvoyPatchPolicy on the cluster",
    ),
    "failover_cluster": (
        "Envoy Gateway has a Backend with fallback: true, beside the Service in backendRefs; the other cluster's host is not "
        "known here. The closest is that, written by hand: without the ejection in the policy no call ever gets there"
    ),
    "overprovisioning": (
        "Envoy Gateway has no field for it, and Envoy's own 140 holds: a place that bears less is overloaded before calls "
        "leave it. The closest is a limit of the calls at a time (recommend breakers)"
    ),
}
"""Why the policies do not hold a setting of a callee."""


class EnvoyGatewayEmitter:
    """Writes the HTTPRoutes of each callee and their policies."""

    name = "envoy-gateway"

    def emit(self, plan: Plan) -> Emission:
        """One file a callee, for those of which Envoy Gateway can hold anything."""
        built = [_document(policy, plan) for policy in plan.callees]
        missing = [item for policy in plan.callees for item in _unexpressed(policy, plan)]
        return Emission(
            tuple(document for document in built if document is not None),
            (*missing, *(not_expressible(item, ACCESS[item.kind]) for item in plan.access_items)),
        )


def _document(policy: CalleePolicy, plan: Plan) -> Document | None:
    parent = {"group": ROUTES, "kind": "Gateway", "name": plan.settings.gateway}
    ordered = ai_routes(policy, plan, parent)
    routes = [*((RoutePolicy(None, None, {}), route) for route in ordered), *http_routes(policy, plan, parent)]
    bodies: list[dict[str, Any]] = []
    for wanted, route in routes or http_routes(_only_rest(policy), plan, parent):
        bodies.append(route)
        if spec := _spec(wanted, policy, plan):
            bodies.append(_policy(route["metadata"], spec))
    if not ordered and all(body["kind"] == "HTTPRoute" for body in bodies):
        return None
    comments = [*policy.comments(_unexpressed(policy, plan)), *foreign_routes(plan.manifests, policy.callee)]
    return Document.of(f"{policy.callee}.yaml", bodies, comments)


def _only_rest(policy: CalleePolicy) -> CalleePolicy:
    """The callee with the one route that takes everything: what holds for all its calls is attached to it."""
    return CalleePolicy(policy.callee, (RoutePolicy(None, None, {}),), policy.budget, policy.others)


def _policy(route: Mapping[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    """A policy of the name of its route, and in its namespace."""
    metadata = {key: route[key] for key in ("name", "namespace") if key in route}
    target = {"group": ROUTES, "kind": "HTTPRoute", "name": metadata["name"]}
    return {
        "apiVersion": f"{reader.GROUP}/v1alpha1",
        "kind": "BackendTrafficPolicy",
        "metadata": metadata,
        "spec": {"targetRefs": [target], **spec},
    }


def _spec(wanted: RoutePolicy, policy: CalleePolicy, plan: Plan) -> dict[str, Any]:
    """What the policy of one route holds: its own timers and retries, and all that is the callee's."""
    running = plan.version("envoy-gateway")
    http = dict(_timers(wanted, running))
    spec: dict[str, Any] = {"timeout": {"http": http}} if http else {}
    if wanted.attempts:
        spec["retry"] = _retry(wanted)
    put(spec, policy.others, FIELDS, whole_duration)
    if policy.budget and has_field("envoy-gateway", BUDGET, running):
        spec.setdefault("circuitBreaker", {})["retryBudget"] = _budget(policy.budget)
    if spec:
        # It takes the place of the Gateway's own policy, and without the field Envoy's 15 s would cut every stream.
        spec.setdefault("timeout", {}).setdefault("http", {}).setdefault("requestTimeout", "0s")
    return spec


def _timers(wanted: RoutePolicy, running: Version) -> Iterator[tuple[str, str]]:
    total_s, idle_s = wanted.seconds("total_timeout"), wanted.seconds("idle_gap_timeout")
    if total_s is not None:
        yield "requestTimeout", whole_duration(total_s)
    if idle_s is not None and has_field("envoy-gateway", IDLE, running):
        yield "streamIdleTimeout", whole_duration(idle_s)


def _retry(wanted: RoutePolicy) -> dict[str, Any]:
    conditions = (wanted.conditions or reader.DEFAULT_CONDITIONS).split(",")
    codes = [int(condition) for condition in conditions if condition.isdigit()]
    triggers = [condition for condition in conditions if not condition.isdigit()]
    # Codes count only beside this trigger; written triggers alone clear the list of codes that holds unasked.
    on: dict[str, Any] = (
        {"triggers": [*triggers, "retriable-status-codes"], "httpStatusCodes": codes} if codes else {"triggers": triggers}
    )
    retry: dict[str, Any] = {"numRetries": wanted.attempts, "retryOn": on}
    if wanted.per_try_s is not None:
        retry["perRetry"] = {"timeout": whole_duration(wanted.per_try_s)}
    return retry


def _budget(budget: Mapping[str, Wanted]) -> dict[str, Any]:
    ratio = float(budget["retry_budget_ratio"].value) if "retry_budget_ratio" in budget else reader.BUDGET_RATIO
    # The first that makes a whole number of it, to a hundredth of a per cent.
    whole = next((n for n in (100, 1_000) if math.isclose(ratio * n, round(ratio * n), abs_tol=1e-6)), 10_000)
    least = float(budget["retry_budget_min_per_s"].value) if "retry_budget_min_per_s" in budget else 0.0
    return {
        "percent": {"numerator": max(1, round(ratio * whole)), "denominator": whole},
        "minRetryConcurrency": least_repetitions(least),
    }


def _unexpressed(policy: CalleePolicy, plan: Plan) -> list[Recommendation]:
    running = plan.version("envoy-gateway")
    missing: dict[tuple[str, object], Recommendation] = {}

    def miss(wanted: Wanted, why: str) -> None:
        missing.update({(item.setting, item.target): not_expressible(item, why) for item in wanted.items})

    for route in policy.routes:
        for setting, wanted in route.wanted.items():
            if setting == "first_token_timeout":
                miss(wanted, FIRST_TOKEN)
            elif setting == "per_try_timeout" and not (route.attempts and route.per_try_s is not None):
                miss(wanted, PER_TRY)
            elif setting == "idle_gap_timeout" and not has_field("envoy-gateway", IDLE, running):
                miss(wanted, OLD_IDLE)
    for wanted in policy.budget.values():
        miss(wanted, CONCURRENCY if has_field("envoy-gateway", BUDGET, running) else OLD_BUDGET)
    for setting, wanted in policy.others.items():
        if setting not in FIELDS and setting != PROVIDERS:
            miss(wanted, lacking(setting, LACKS) or LATER[wanted.items[0].kind])
    return [*missing.values(), *unexpressed(policy, {"hedge": LATER["hedge"]})]


EMITTER = EnvoyGatewayEmitter()
