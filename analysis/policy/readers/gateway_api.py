"""Reads the Gateway API: HTTPRoutes with timeouts and retries, XBackendTrafficPolicies, and what Envoy Gateway and Linkerd add.

Source: gateway-api v1.6 apis/v1/httproute_types.go, apisx/v1alpha1/xbackendtrafficpolicy_types.go. What holds where a route
says nothing is up to the implementation: Envoy Gateway's defaults are read where its resources stand beside the routes,
Linkerd's where some manifest bears its annotations. Routes of all of them are matched in one order, so one reader has them.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from meshslo.analysis.policy.deployed import ClusterRule, Deployed
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries, scalars
from meshslo.analysis.policy.values import Placed, defaults_of

from .envoy_gateway import GROUP as ENVOY_GATEWAY
from .envoy_gateway import Policies
from .http_route import GROUP, KINDS, FoundRule, find_rules, in_order
from .linkerd import GROUP as LINKERD
from .linkerd import Annotations

EXPERIMENTAL: Final = "gateway.networking.x-k8s.io"
AI_GATEWAY: Final = "aigateway.envoyproxy.io"
AI_GATEWAY_TIMEOUT_S: Final = 60.0
DEFAULT_ATTEMPTS: Final = 2
"""What both Istio and Envoy Gateway do with a `retry` that names no attempts."""

BUDGET_PERCENT: Final = 20.0
BUDGET_INTERVAL_S: Final = 10.0
MIN_COUNT: Final = 10


class GatewayApiReader:
    """Routes of the Gateway API and of Envoy AI Gateway, and the policies that are attached to them."""

    def reads(self, manifest: Manifest) -> bool:
        """Whether it is one of these, or bears Linkerd's annotations."""
        in_groups = manifest.group in (GROUP, EXPERIMENTAL, ENVOY_GATEWAY, AI_GATEWAY)
        return in_groups or manifest.is_a(LINKERD, "HTTPRoute") or Annotations.are_in(manifest)

    def read(self, manifests: list[Manifest], model_header: str) -> Deployed:
        """Routes as a gateway matches them, and what policies set for their callees."""
        policies, annotations = Policies(manifests), Annotations(manifests)
        found = [rule for m in manifests if m.kind in (*KINDS, "AIGatewayRoute") for rule in find_rules(m)]
        rules = [
            replace(
                each.as_rule(model_header),
                settings=annotations.route(each) if annotations.hold_for(each) else _settings(each, policies),
            )
            for each in found
        ]
        budgets = [rule for m in manifests if m.kind == "XBackendTrafficPolicy" for rule in _budgets(m)]
        clusters = (*budgets, *policies.clusters(found), *annotations.clusters())
        return Deployed((*in_order(rules), *annotations.rest()), clusters)


def _settings(found: FoundRule, policies: Policies) -> dict[str, Placed]:
    """What the rule itself says, before what policies do."""
    every: dict[str, Placed | None] = dict(policies.route(found)) | dict(_own(found, policies.known))
    return {name: placed for name, placed in every.items() if placed is not None}


def _own(found: FoundRule, envoy_gateway: bool) -> Iterator[tuple[str, Placed | None]]:
    manifest, timeouts = found.manifest, child(found.rule, "timeouts")
    request, attempt = manifest.seconds(timeouts, "request"), manifest.seconds(timeouts, "backendRequest")
    has_retry = found.rule.get("retry") is not None
    if request is not None:
        # 0 is no timer.
        yield "total_timeout", request if request.value else None
    elif manifest.kind == "AIGatewayRoute":
        place = manifest.place(found.rule, "timeouts")
        yield "total_timeout", Placed(AI_GATEWAY_TIMEOUT_S, "s", defaults_of("Envoy AI Gateway", place))
    if attempt is not None and attempt.value:
        # Of one attempt the whole answer: without retries it is the only attempt, and implementations make it the total.
        yield ("per_try_timeout" if has_retry else "total_timeout"), attempt
    silence = manifest.seconds(found.rule, "streamIdleTimeout")
    if silence is not None:
        yield "idle_gap_timeout", silence if silence.value else None
    if has_retry:
        yield from _retries(found, envoy_gateway)


def _retries(found: FoundRule, envoy_gateway: bool) -> Iterator[tuple[str, Placed]]:
    manifest, retry = found.manifest, child(found.rule, "retry")
    mesh = "Envoy Gateway" if envoy_gateway else "Istio"
    place = defaults_of(mesh, manifest.place(retry, "attempts"))
    yield "retry_attempts", manifest.amount(retry, "attempts") or Placed(DEFAULT_ATTEMPTS, "1", place)
    codes = scalars(retry, "codes")
    yield "retry_on", Placed(",".join(["connect-failure", *codes]), "conditions", manifest.place(retry, "codes"))


def _budgets(manifest: Manifest) -> Iterator[ClusterRule]:
    constraint = child(manifest.spec, "retryConstraint")
    settings = dict(_budget(manifest, constraint)) if constraint else {}
    for target in entries(manifest.spec, "targetRefs"):
        yield ClusterRule(str(target.get("name", "")), settings)


def _budget(manifest: Manifest, constraint: Any) -> Iterator[tuple[str, Placed]]:
    budget, least = child(constraint, "budget"), child(constraint, "minRetryRate")
    ratio = manifest.amount(budget, "percent", "ratio", 1 / 100)
    yield "retry_budget_ratio", ratio or Placed(BUDGET_PERCENT / 100, "ratio", manifest.place(constraint, "budget"))
    interval, count = manifest.seconds(least, "interval"), manifest.amount(least, "count")
    rate = float(count.value if count else MIN_COUNT) / float(interval.value if interval and interval.value else 1.0)
    yield "retry_budget_min_per_s", Placed(rate, "per_s", manifest.place(constraint, "minRetryRate"))


READER = GatewayApiReader()
