"""MS415: a service that anybody in the mesh may call."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject
from meshslo.analysis.policy.readers.istio_security import GROUP


def _find(subject: Subject) -> Iterator[Hit]:
    """Services with routes that no policy is for; only where the manifests hold policies at all, else they are elsewhere."""
    policies = list(subject.of(GROUP, "AuthorizationPolicy"))
    if not policies:
        return
    for callee in sorted({route.callee for route in subject.deployed.routes if route.callee}):
        if subject.deployed.find("allowed_principals", callee) is None:
            route = next(route for route in subject.deployed.routes if route.callee == callee)
            place = next((placed.source.partition(" (")[0] for placed in route.settings.values()), policies[0].file)
            yield Hit(place, f"no AuthorizationPolicy is for {callee}: anybody in the mesh may call it")


RULE = Rule(
    code="MS415",
    name="no-authorization",
    severity="info",
    finds="A service with routes that no AuthorizationPolicy among the manifests is for, where there are policies for others.",
    why="Without a policy everything is allowed: any pod may call the model, the vector store or the tool.",
    instead="an ALLOW policy with the principals that call it",
    evidence="istio/istio.io content/en/docs/ambient/usage/l4-policy: the default is to allow.",
    find=_find,
)
