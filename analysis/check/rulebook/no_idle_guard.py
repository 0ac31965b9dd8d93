"""MS115: a route without any timer that ends a silent stream."""

from meshslo.analysis.check.rule import Hit, Rule, Subject, each_route
from meshslo.analysis.policy.deployed import RouteRule


def _inspect(route: RouteRule, subject: Subject) -> Hit | None:  # noqa: ARG001 - the contract's
    guards = {"total_timeout", "idle_gap_timeout"} & set(route.settings)
    if guards or not route.callee or not route.settings:
        return None
    # The place of any of its settings: the route itself has none.
    place = next(iter(route.settings.values())).source.partition(" (")[0]
    return Hit(place, f"calls of {route.callee} have neither a total nor an idle timeout: a hung stream never ends")


RULE = Rule(
    code="MS115",
    name="no-idle-guard",
    severity="warning",
    finds="A route with neither a total timeout nor an idle one. Istio's sidecars have no stream idle timeout unasked.",
    why="A stream that hangs holds its connection, its GPU slot and its caller until somebody gives up.",
    instead="an idle timeout above the longest silence of healthy streams: `meshslo recommend timeouts` says which",
    evidence="open-legal-products/mike#100; istio/istio pilot/pkg/networking/core/listener_builder.go sets "
    "stream_idle_timeout 0.",
    find=each_route(_inspect),
)
