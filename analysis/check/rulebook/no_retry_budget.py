"""MS213: retries that no budget bounds."""

from meshslo.analysis.check.rule import Hit, Rule, Subject, each_route
from meshslo.analysis.policy.deployed import RouteRule, is_default


def _inspect(route: RouteRule, subject: Subject) -> Hit | None:
    attempts = route.settings.get("retry_attempts")
    if attempts is None or not float(attempts.value) or not route.callee:
        return None
    if subject.deployed.find("retry_budget_ratio", route.callee) is not None:
        return None
    return Hit(
        attempts.source,
        f"calls of {route.callee} are repeated up to {attempts.value} times each and no budget bounds them together",
        severity="info" if is_default(attempts.source) else None,
    )


RULE = Rule(
    code="MS213",
    name="no-retry-budget",
    severity="warning",
    finds="Retries of a callee for which no retry budget is set; for information where the mesh repeats unasked.",
    why="Without a budget a partial outage becomes a storm of retries: Istio allows 2^32 - 1 at a time unasked, Envoy Gateway "
    "1024, and Linkerd's annotations know no budget at all.",
    instead="a retry budget for the callee: `meshslo recommend retries` says which ratio",
    evidence="istio/istio pilot/pkg/networking/core/cluster_traffic_policy.go; linkerd.io reference/retries.",
    find=each_route(_inspect),
)
