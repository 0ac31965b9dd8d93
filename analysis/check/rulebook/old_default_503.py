"""MS215: an Istio so old that it repeats POSTs after a 503 unasked."""

from meshslo.analysis.check.rule import Hit, Rule, Subject, each_route
from meshslo.analysis.policy.deployed import RouteRule, is_default
from meshslo.analysis.policy.versions import SAFE_503


def _inspect(route: RouteRule, subject: Subject) -> Hit | None:
    attempts = route.settings.get("retry_attempts")
    if attempts is None or not float(attempts.value) or not SAFE_503.has(subject.version("istio")):
        return None
    if not is_default(attempts.source) or "Istio" not in attempts.source:
        return None
    return Hit(attempts.source, f"calls of {route.callee} are repeated twice after any 503, though nobody asked for retries")


RULE = Rule(
    code="MS215",
    name="old-default-503",
    severity="error",
    finds="A route without `retries` under Istio 1.23 or older (--mesh-version istio=1.23).",
    why="The retries that held unasked then repeated any call after a 503, twice, POST too: a generation that had begun runs "
    "again.",
    instead="`retries: {attempts: 0}` on the route, or an upgrade",
    evidence="istio/istio#50506, istio/istio#40299; releasenotes/notes/50506.yaml.",
    find=each_route(_inspect),
)
