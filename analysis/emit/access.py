"""Who may call whom, and which hosts outside: what of a plan is no route's or cluster's, but policies of their own.

How a mesh writes them is in a file beside this one, `access_istio` and so on.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from meshslo.analysis.policy.deployed import EVERY
from meshslo.analysis.policy.settings import SETTINGS, STRICT
from meshslo.analysis.recommend.callers import is_outside
from meshslo.analysis.recommend.egress import split_hosts
from meshslo.analysis.recommend.recommendation import Recommendation, Recommendations

KINDS: Final = frozenset({"identity", "egress"})
"""Kinds of recommendations that become policies of their own."""


@dataclass(frozen=True)
class Rule:
    """Who may call one route (None: any path) with which methods (none: any)."""

    route: str | None
    principals: tuple[str, ...]
    methods: tuple[str, ...]

    @property
    def accounts(self) -> list[tuple[str, str]]:
        """Namespace and service account of each principal that is one, `trust-domain/ns/NAMESPACE/sa/ACCOUNT`."""
        parts = [principal.split("/") for principal in self.principals]
        return [(names[2], names[4]) for names in parts if len(names) == 5 and names[1] == "ns" and names[3] == "sa"]


@dataclass(frozen=True)
class Access:
    """What is wanted for the callers of one service."""

    callee: str
    items: tuple[Recommendation, ...]
    unknown: tuple[Recommendation, ...] = ()
    """Of routes whose callers are not known: a list of those of other routes refuses them."""

    @property
    def strict(self) -> bool:
        """Whether every caller must show a certificate."""
        return any(item.setting == "mtls_strict" and item.wanted == STRICT for item in self.items)

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """A rule for each hop and route whose callers are known, in order."""
        by_target: dict[tuple[str, str | None], dict[str, tuple[str, ...]]] = {}
        for item in self.items:
            if item.setting != "mtls_strict" and item.proposed is not None:
                at = by_target.setdefault((item.target.hop, item.target.route), {})
                at[item.setting] = tuple(sorted(str(item.proposed.value).split(",")))
        return tuple(
            Rule(route, found["allowed_principals"], found.get("allowed_methods", ()))
            for (_, route), found in sorted(by_target.items(), key=lambda pair: (pair[0][0], pair[0][1] or ""))
            if "allowed_principals" in found
        )


@dataclass(frozen=True)
class Outward:
    """What one service may call: hosts outside, and the services that it calls inside.

    principals: what it proved to be where it called inside; none where that is not known.
    """

    caller: str
    hosts: tuple[str, ...]
    inside: tuple[str, ...]
    principals: tuple[str, ...]
    items: tuple[Recommendation, ...]


def accesses(recommendations: Recommendations) -> tuple[Access, ...]:
    """What is wanted for the callers of each service for which anything is, in order."""
    by_callee: dict[str, list[Recommendation]] = {}
    for item in _wanted(recommendations, "identity"):
        by_callee.setdefault(item.target.callee, []).append(item)
    unknown = [item for item in recommendations.items if item.setting == "allowed_principals" and item.proposed is None]
    return tuple(
        Access(callee, tuple(by_callee[callee]), tuple(item for item in unknown if item.target.callee == callee))
        for callee in sorted(by_callee)
    )


def outwards(recommendations: Recommendations) -> tuple[Outward, ...]:
    """What each service may call for which that is known, in order."""
    found = []
    for item in _wanted(recommendations, "egress"):
        caller = item.target.caller
        others = [other for other in recommendations.items if other.target.caller == caller and other is not item]
        callees = {other.target.callee for other in others}
        inside = sorted(callee for callee in callees if callee != EVERY and not is_outside(callee))
        hosts = tuple(split_hosts(str(item.wanted)))
        found.append(Outward(caller, hosts, tuple(inside), tuple(sorted(_proved(others))), (item,)))
    return tuple(sorted(found, key=lambda outward: outward.caller))


def _proved(items: Iterable[Recommendation]) -> set[str]:
    """The identities in what is proposed of these items' callers."""
    proposed = [item.proposed for item in items if item.setting == "allowed_principals"]
    return {name for each in proposed if each is not None for name in str(each.value).split(",")}


def _wanted(recommendations: Recommendations, kind: str) -> Iterator[Recommendation]:
    """Those of a kind with a value to write; what is only deployed stays where it stands."""
    for item in recommendations.items:
        if item.setting in SETTINGS and SETTINGS[item.setting].kind == kind and item.proposed is not None:
            yield item


def routed(items: Iterable[Recommendation]) -> list[Recommendation]:
    """Those recommendations that are a route's or cluster's."""
    return [item for item in items if item.kind not in KINDS]


GATEWAY_API: Final = {
    "identity": (
        "the Gateway API says nothing of who may call a service within a mesh. The closest is the implementation's own policy "
        "(Istio: PeerAuthentication and AuthorizationPolicy; Linkerd: Server and AuthorizationPolicy)"
    ),
    "egress": (
        "the Gateway API says nothing of hosts outside a mesh. The closest is the implementation's own policy (Istio: "
        "ServiceEntry and Sidecar; Linkerd: EgressNetwork)"
    ),
}
"""Why the Gateway API holds none of it, and the closest there is."""
