"""MS216: Envoy Gateway retries that name no conditions, and so repeat after a 503."""

from meshslo.analysis.check.rule import Hit, Rule, Subject, each_route
from meshslo.analysis.policy.deployed import RouteRule, is_default


def _inspect(route: RouteRule, subject: Subject) -> Hit | None:  # noqa: ARG001 - the contract's
    conditions, attempts = route.settings.get("retry_on"), route.settings.get("retry_attempts")
    if conditions is None or attempts is None or not float(attempts.value):
        return None
    if not is_default(conditions.source) or "503" not in str(conditions.value):
        return None
    return Hit(conditions.source, f"calls of {route.callee} are repeated after a 503, which nobody chose")


RULE = Rule(
    code="MS216",
    name="gateway-default-503",
    severity="warning",
    finds="An Envoy Gateway `retry` block without `retryOn`.",
    why="Its own list has the status 503 in it, which a model server may send after it has begun: POST is repeated too.",
    instead="retryOn.triggers connect-failure and refused-stream, and no codes",
    evidence="envoyproxy/gateway internal/xds/translator/route.go.",
    find=each_route(_inspect),
)
