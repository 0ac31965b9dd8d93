"""MS321: a canary that no call reaches."""

from collections.abc import Iterator
from typing import Any

from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:
    covered = False
    for http in entries(manifest.spec, "http"):
        if covered:
            yield Hit(_place(manifest, http), "no call reaches this rule: one before it takes everything")
        covered = covered or not entries(http, "match")
        routes = entries(http, "route")
        weights = [route.get("weight") for route in routes]
        if weights and all(weight == 0 for weight in weights):
            yield Hit(manifest.place(routes[0], "weight"), "all weights are 0: nothing is routed")
        for route in routes:
            yield from _subset(manifest, child(route, "destination"), subject)


def _place(manifest: Manifest, http: Any) -> str:
    return manifest.place(http, "match" if "match" in http else "route")


def _subset(manifest: Manifest, destination: Any, subject: Subject) -> Iterator[Hit]:
    name, host = destination.get("subset"), str(destination.get("host", ""))
    rules = [m for m in subject.of("networking.istio.io", "DestinationRule") if _same(str(m.spec.get("host", "")), host)]
    # Without a rule for the host here, its subsets are defined elsewhere.
    if name is None or not rules:
        return
    if not any(subset.get("name") == name for rule in rules for subset in entries(rule.spec, "subsets")):
        yield Hit(manifest.place(destination, "subset"), f"no DestinationRule of {host} has a subset {name}: its calls get 503")


def _same(one: str, other: str) -> bool:
    """Whether two host names are of one service: either may be short."""
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


RULE = Rule(
    code="MS321",
    name="canary-unreachable",
    severity="error",
    finds="In a VirtualService: a rule after one that matches everything, weights that are all 0, or a subset that no "
    "DestinationRule of the host defines.",
    why="The canary gets no calls and looks fine; a subset that is not there answers 503.",
    instead="the header rule before the weighted one, and the subset's DestinationRule deployed first",
    evidence="Istio's messages IST0130, IST0131 and IST0173; `istioctl analyze`.",
    find=each("networking.istio.io", "VirtualService", inspect=_inspect),
)
