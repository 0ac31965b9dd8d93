"""MS211: retries after failures that the callee may have begun to work on."""

from typing import Final

from meshslo.analysis.check.rule import Hit, Rule, Subject, each_route
from meshslo.analysis.policy.deployed import RouteRule, is_default
from meshslo.analysis.policy.settings import SAFE_CONDITIONS
from meshslo.analysis.recommend.retry_effects import split_conditions
from meshslo.analysis.recommend.words import count

IN_HEADERS_ONLY: Final = frozenset(
    {"unavailable", "cancelled", "retriable-headers", "retriable-status-codes", "envoy-ratelimited", "429"}
)
"""gRPC statuses that fire on response headers alone, contracts with the server, and refusals: nothing that ran matches them."""


def _inspect(route: RouteRule, subject: Subject) -> Hit | None:
    conditions, attempts = route.settings.get("retry_on"), route.settings.get("retry_attempts")
    if conditions is None or attempts is None or not float(attempts.value) or is_default(conditions.source):
        return None
    unsafe = sorted(split_conditions(str(conditions.value)) - set(SAFE_CONDITIONS) - IN_HEADERS_ONLY)
    if not unsafe or _is_idempotent(route, subject):
        return None
    repeated = _repeated(route, subject)
    seen = f"; {count(repeated)} calls were repeated" if repeated else ""
    return Hit(
        conditions.source,
        f"calls of {route.callee} are repeated after {', '.join(unsafe)}, when it may have begun to work{seen}",
        severity="error" if repeated else None,
        confirmed=repeated > 0,
    )


def _is_idempotent(route: RouteRule, subject: Subject) -> bool:
    hops = subject.observed.config.hops if subject.observed else {}
    return any(settings.idempotent for hop, settings in hops.items() if hop.partition(">")[2] == route.callee)


def _repeated(route: RouteRule, subject: Subject) -> int:
    return sum(
        int(seen.tries.sum()) - seen.calls
        for (hop, _), seen in subject.attempts.items()
        if hop.partition(">")[2] == route.callee
    )


RULE = Rule(
    code="MS211",
    name="unsafe-retry-on",
    severity="warning",
    finds="Retry conditions such as 5xx, gateway-error, reset or 503 on a route that is not known to be idempotent. An error "
    "where calls were repeated.",
    why="A generation that had begun runs twice: tokens are paid twice and tools act twice.",
    instead=f"retry on {','.join(SAFE_CONDITIONS)}, or say in meshslo.toml that the hop is idempotent",
    evidence="istio/istio#13851, istio/istio#50506 (a payout made twice), istio/istio#27340, istio/istio#17145.",
    find=each_route(_inspect),
)
