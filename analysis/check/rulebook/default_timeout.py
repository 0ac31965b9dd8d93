"""MS112: a route that nobody gave a timeout, and that has one."""

from meshslo.analysis.check.rule import Hit, Rule, Subject, each_route
from meshslo.analysis.policy.deployed import RouteRule, is_default
from meshslo.analysis.recommend.words import seconds


def _inspect(route: RouteRule, subject: Subject) -> Hit | None:  # noqa: ARG001 - the contract's
    total = route.settings.get("total_timeout")
    if total is None or not is_default(total.source):
        return None
    return Hit(total.source, f"calls of {route.callee} end after {seconds(float(total.value))}, which nobody set")


RULE = Rule(
    code="MS112",
    name="default-timeout",
    severity="warning",
    finds="A route without a total timeout where the proxy has one of its own: Envoy and Envoy Gateway 15 s, Envoy AI Gateway "
    "60 s.",
    why="Envoy's route timeout covers the whole body and all retries: a longer stream is cut, and logged as 200.",
    instead="the timeout that the calls justify, or `timeout: 0s` for none; `meshslo recommend timeouts` says which",
    evidence="NVIDIA/nvcf#1060 and #1064, envoyproxy/gateway#5446 (gRPC), envoyproxy/ai-gateway#361, defilantech/LLMKube#734; "
    "RouteAction.timeout in Envoy's API.",
    find=each_route(_inspect),
)
