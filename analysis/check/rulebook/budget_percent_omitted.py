"""MS217: an Istio retry budget without `percent` where that means 0.2 %."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child
from meshslo.analysis.policy.versions import BUDGET_PERCENT


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:
    policy = child(manifest.spec, "trafficPolicy")
    if policy.get("retryBudget") is None or child(policy, "retryBudget").get("percent") is not None:
        return
    affected = BUDGET_PERCENT.has(subject.version("istio"))
    yield Hit(
        manifest.place(policy, "retryBudget"),
        "this retryBudget leaves `percent` to the release: 20 % in most, and 0.2 % in 1.27, 1.28 to 1.28.5, 1.29 to 1.29.1",
        severity="error" if affected else None,
    )


RULE = Rule(
    code="MS217",
    name="budget-percent-omitted",
    severity="info",
    finds="A retryBudget without `percent`. An error under an Istio release that takes it for 0.2 %.",
    why="Nearly all retries above three at a time are refused, and the counter of overflows says so to nobody.",
    instead="`percent` written out, always",
    evidence="istio/istio#59505; releasenotes/notes/retry-budget-percent.yaml.",
    find=each("networking.istio.io", "DestinationRule", inspect=_inspect),
)
