"""MS221: a ServiceProfile beside annotations that it switches off."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import entries, first_label
from meshslo.analysis.policy.readers.linkerd import is_linkerds


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:
    callee = first_label(manifest.name)
    for other in subject.manifests:
        on_service = other.kind == "Service" and other.name == callee and is_linkerds(other)
        if on_service or (other.kind in ("HTTPRoute", "GRPCRoute") and callee in _parents(other)):
            place = manifest.place(manifest.body, "metadata")
            yield Hit(place, f"it switches off what {other.kind} {other.name} ({other.file}) says of {callee}")


def _parents(route: Manifest) -> set[str]:
    return {str(ref.get("name")) for ref in entries(route.spec, "parentRefs") if ref.get("kind") == "Service"}


RULE = Rule(
    code="MS221",
    name="profile-overrides",
    severity="warning",
    finds="A Linkerd ServiceProfile for a Service that also has routes, or annotations for timeouts, retries or failure "
    "accrual.",
    why="The profile wins: annotations, routes and the circuit breaker of the Service have no effect.",
    instead="one of the two; the profile has a retry budget, the annotations have idle timeouts and failure accrual",
    evidence="linkerd.io reference/{retries,timeouts,circuit-breaking}; linkerd/linkerd2#5963.",
    find=each("linkerd.io", "ServiceProfile", inspect=_inspect),
)
