"""What Envoy Gateway's policies set for the routes they are attached to, and what it does where none says otherwise.

Source: envoyproxy/gateway v1.9 api/v1alpha1 (timeout_types.go, retry_types.go, circuitbreaker_types.go, healthcheck_types.go)
and internal/xds/translator/route.go. A policy on a route replaces one on its Gateway.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, Final

from meshslo.analysis.policy.deployed import ClusterRule
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries, scalars
from meshslo.analysis.policy.values import Placed, defaults_of

from .envoy_places import has_priorities, priority_of
from .http_route import FoundRule

GROUP: Final = "gateway.envoyproxy.io"
CONTROLLER: Final = "gateway.envoyproxy.io/"

ROUTE_TIMEOUT_S: Final = 15.0
NUM_RETRIES: Final = 2
BUDGET_RATIO: Final = 0.2
DEFAULT_CONDITIONS: Final = "connect-failure,refused-stream,unavailable,cancelled,503"
"""What a `retry` block that names no conditions repeats after: an answer of 503 too, of which nobody knows whether it ran."""

BREAKERS: Final = {
    "maxConnections": ("max_connections", 1024),
    "maxPendingRequests": ("max_pending", 1024),
    "maxParallelRequests": ("max_concurrent_requests", 1024),
    "maxParallelRetries": ("max_retries", 1024),
}
OUTLIERS: Final = {
    "consecutive5XxErrors": ("consecutive_5xx", "1", 5),
    "consecutiveGatewayErrors": ("consecutive_gateway_failures", "1", None),
    "maxEjectionPercent": ("max_ejection_percent", "percent", 10),
    "failurePercentageThreshold": ("failure_percentage_threshold", "percent", None),
}
SUCCESS_RATE: Final = 100
"""Envoy's own `enforcing_success_rate`, of which no field of a policy says otherwise. Source: cluster.go, v1.9."""

OUTLIER_TIMES: Final = {"interval": ("interval", 3.0), "baseEjectionTime": ("base_ejection_time", 30.0)}


class Policies:
    """The policies among manifests, found by what they are attached to."""

    def __init__(self, manifests: Iterable[Manifest]) -> None:
        """Take all manifests that stand together; those of other kinds are passed over."""
        self._all = tuple(manifests)
        self._backend = [manifest for manifest in self._all if manifest.is_a(GROUP, "BackendTrafficPolicy")]
        self._client = [manifest for manifest in self._all if manifest.is_a(GROUP, "ClientTrafficPolicy")]

    @cached_property
    def known(self) -> bool:
        """Whether it is Envoy Gateway that puts these routes into effect."""
        return any(
            manifest.group == GROUP or str(manifest.spec.get("controllerName", "")).startswith(CONTROLLER)
            for manifest in self._all
        )

    def hold_for(self, found: FoundRule) -> bool:
        """Whether a route is Envoy Gateway's: it is attached to a Gateway of its class, or of none that is known here."""
        parents = found.parents("Gateway")
        classes = {self._classes[name] for name in parents if name in self._classes}
        return bool(parents) and self.known and (not classes or any(self._is_own(name) for name in classes))

    @cached_property
    def _classes(self) -> dict[str, str]:
        """Class of each Gateway."""
        gateways = (m for m in self._all if m.is_a("gateway.networking.k8s.io", "Gateway"))
        return {m.name: str(m.spec.get("gatewayClassName", "")) for m in gateways}

    def _is_own(self, gateway_class: str) -> bool:
        defined = [m for m in self._all if m.kind == "GatewayClass" and m.name == gateway_class]
        if defined:
            return any(str(m.spec.get("controllerName", "")).startswith(CONTROLLER) for m in defined)
        # Defined elsewhere: its name is all there is, and these are those of the documentation.
        return gateway_class == "eg" or "envoy" in gateway_class

    def route(self, found: FoundRule) -> Iterator[tuple[str, Placed | None]]:
        """Timeouts and retries of a rule of a route, the last of a setting holds: its policies', else Envoy Gateway's own."""
        if not self.hold_for(found):
            return
        if found.manifest.kind != "AIGatewayRoute":
            place = found.manifest.place(found.rule, "timeouts")
            yield "total_timeout", Placed(ROUTE_TIMEOUT_S, "s", defaults_of("Envoy Gateway", place))
        retry_place = defaults_of("Envoy Gateway", found.manifest.place(found.rule, "retry"))
        yield "retry_attempts", Placed(0, "1", retry_place)
        for policy in (_attached(self._client, found), _attached(self._backend, found)):
            if policy is not None:
                yield from _timeouts(policy)
                yield from _retries(policy)

    def clusters(self, rules: Iterable[FoundRule]) -> list[ClusterRule]:
        """Breakers, budgets and outlier detection of every callee that the rules lead to."""
        first = {callee: found for found in reversed(list(rules)) if self.hold_for(found) for callee in found.callees}
        return [ClusterRule(callee, dict(self._cluster(found))) for callee, found in sorted(first.items())]

    def _cluster(self, found: FoundRule) -> Iterator[tuple[str, Placed]]:
        policy = _attached(self._backend, found)
        holder, breaker = (policy, child(policy.spec, "circuitBreaker")) if policy else (found.manifest, None)
        for key, (setting, default) in BREAKERS.items():
            place = defaults_of("Envoy Gateway", holder.place(found.rule if breaker is None else breaker, key))
            given = None if breaker is None else holder.amount(breaker, key)
            yield setting, given or Placed(default, "1", place)
        yield from _order(found)
        if policy is not None:
            yield from _budget(policy)
            yield from _outliers(policy)
            connect = policy.seconds(child(policy.spec, "timeout", "tcp"), "connectTimeout")
            if connect is not None:
                yield "connect_timeout", connect


def _order(found: FoundRule) -> Iterator[tuple[str, Placed]]:
    """Backends in order where their priorities differ, which those of an AIGatewayRoute alone have."""
    refs = entries(found.rule, "backendRefs")
    if has_priorities(found.manifest, refs):
        ordered = sorted(refs, key=lambda ref: priority_of(found.manifest, ref))
        names = ",".join(str(ref.get("name")) for ref in ordered)
        yield "failover_provider", Placed(names, "names", found.manifest.place(found.rule, "backendRefs"))


def _attached(policies: list[Manifest], found: FoundRule) -> Manifest | None:
    """The policy of the route itself, else that of its Gateway."""
    route, gateways = {(found.manifest.kind, found.manifest.name)}, {("Gateway", name) for name in found.parents("Gateway")}
    for wanted in (route, gateways):
        for policy in policies:
            if _targets(policy, found.manifest if wanted is route else None) & wanted:
                return policy
    return None


def _targets(policy: Manifest, route: Manifest | None) -> set[tuple[str, str]]:
    """Kind and name of what a policy is attached to; `route` is tried against its selectors."""
    single = child(policy.spec, "targetRef")
    refs = [*entries(policy.spec, "targetRefs"), *([single] if single else [])]
    named = {(str(ref.get("kind", "")), str(ref.get("name", ""))) for ref in refs}
    if route is None:
        return named
    labels = child(route.body, "metadata", "labels")
    for selector in entries(policy.spec, "targetSelectors"):
        wanted = child(selector, "matchLabels")
        if selector.get("kind") == route.kind and wanted and all(labels.get(key) == value for key, value in wanted.items()):
            named.add((route.kind, route.name))
    return named


def _timeouts(policy: Manifest) -> Iterator[tuple[str, Placed | None]]:
    http = child(policy.spec, "timeout", "http")
    for key, setting in (("requestTimeout", "total_timeout"), ("streamIdleTimeout", "idle_gap_timeout")):
        given = policy.seconds(http, key)
        if given is not None:
            # 0 is no timer.
            yield setting, given if given.value else None


def _retries(policy: Manifest) -> Iterator[tuple[str, Placed]]:
    if policy.spec.get("retry") is None:
        return
    retry = child(policy.spec, "retry")
    place = policy.place(retry, "numRetries")
    yield "retry_attempts", policy.amount(retry, "numRetries") or Placed(NUM_RETRIES, "1", place)
    on = child(retry, "retryOn")
    given = [*scalars(on, "triggers"), *scalars(on, "httpStatusCodes")]
    conditions = ",".join(each for each in given if each != "retriable-status-codes") or DEFAULT_CONDITIONS
    source = policy.place(retry, "retryOn") if given else defaults_of("Envoy Gateway", policy.place(retry, "retryOn"))
    yield "retry_on", Placed(conditions, "conditions", source)
    per_try = policy.seconds(child(retry, "perRetry"), "timeout")
    if per_try is not None:
        yield "per_try_timeout", per_try


def _budget(policy: Manifest) -> Iterator[tuple[str, Placed]]:
    """The ratio; its floor bounds retries at a time, which is no rate."""
    breaker = child(policy.spec, "circuitBreaker")
    if breaker.get("retryBudget") is None:
        return
    percent = child(breaker, "retryBudget", "percent")
    whole = policy.amount(percent, "denominator")
    ratio = policy.amount(percent, "numerator", "ratio", 1 / float(whole.value if whole and whole.value else 100))
    yield "retry_budget_ratio", ratio or Placed(BUDGET_RATIO, "ratio", policy.place(breaker, "retryBudget"))


def _outliers(policy: Manifest) -> Iterator[tuple[str, Placed]]:
    health = child(policy.spec, "healthCheck")
    if health.get("passive") is None:
        return
    passive = child(health, "passive")
    for key, (setting, unit, default) in OUTLIERS.items():
        given: Any = policy.amount(passive, key, unit)
        if given is not None or default is not None:
            yield setting, given or Placed(default or 0, unit, defaults_of("Envoy Gateway", policy.place(passive, key)))
    place = defaults_of("Envoy Gateway", policy.place(health, "passive"))
    yield "enforcing_success_rate", Placed(SUCCESS_RATE, "percent", place)
    for key, (setting, default_s) in OUTLIER_TIMES.items():
        given = policy.seconds(passive, key)
        yield setting, given or Placed(default_s, "s", defaults_of("Envoy Gateway", policy.place(passive, key)))
