"""MS214: retries for which the total timeout leaves no time."""

from meshslo.analysis.check.rule import Hit, Rule, Subject, each_route
from meshslo.analysis.policy.deployed import RouteRule
from meshslo.analysis.recommend.chain import back_off_s
from meshslo.analysis.recommend.words import seconds


def _inspect(route: RouteRule, subject: Subject) -> Hit | None:  # noqa: ARG001 - the contract's
    per_try, total, attempts = (route.settings.get(name) for name in ("per_try_timeout", "total_timeout", "retry_attempts"))
    if per_try is None or total is None or attempts is None or not float(attempts.value):
        return None
    retries = int(float(attempts.value))
    needed_s = float(per_try.value) * (retries + 1) + back_off_s(retries)
    # Sums of decimal fractions are off in the last digit.
    if needed_s <= float(total.value) + 1e-9:
        return None
    return Hit(
        per_try.source,
        f"{retries + 1} attempts at {route.callee} of {seconds(float(per_try.value))} each need {seconds(needed_s)} "
        f"with back-off, and the call ends after {seconds(float(total.value))}",
        instead=f"a total timeout of {seconds(needed_s)} or more, or fewer attempts",
    )


RULE = Rule(
    code="MS214",
    name="retries-cannot-fit",
    severity="warning",
    finds="Attempts x per-try timeout + back-off that exceed the route's total timeout.",
    why="The total timer ends the call before the promised attempts were made: the resilience is fictional.",
    instead="a total timeout that all attempts fit into, or fewer attempts",
    evidence="istio/istio#21137, istio/istio#13167; router_filter.rst in Envoy's documentation.",
    find=each_route(_inspect),
)
