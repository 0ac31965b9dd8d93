"""MS218: an Istio retry budget that a subset or a port makes disappear."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries
from meshslo.analysis.policy.versions import BUDGET_SUBSET


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:
    policy = child(manifest.spec, "trafficPolicy")
    for settings in entries(policy, "portLevelSettings"):
        if settings.get("retryBudget") is not None:
            yield Hit(manifest.place(settings, "retryBudget"), "there is no retryBudget of a port: it is refused or dropped")
    if not BUDGET_SUBSET.has(subject.version("istio")):
        return
    for subset in entries(manifest.spec, "subsets"):
        own = child(subset, "trafficPolicy")
        if own and (policy.get("retryBudget") is not None or own.get("retryBudget") is not None):
            place = manifest.place(subset, "trafficPolicy")
            yield Hit(place, f"calls of subset {subset.get('name')} have no retry budget: {BUDGET_SUBSET.what}")


RULE = Rule(
    code="MS218",
    name="budget-dropped-by-subset",
    severity="warning",
    finds="A retryBudget under portLevelSettings; or beside a subset with a trafficPolicy of its own, under Istio 1.27 to "
    "1.29.1.",
    why="The budget is ignored without a word, and retries are unbounded.",
    instead="the budget at the top of trafficPolicy, and no subset policy until Istio 1.29.2 or 1.30",
    evidence="istio/istio#59668; releasenotes/notes/retry-budget-subset-merge.yaml.",
    find=each("networking.istio.io", "DestinationRule", inspect=_inspect),
)
