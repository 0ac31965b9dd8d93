"""Routes of the Gateway API as rules: whom they lead to and what they match, most specific first.

Source: gateway-api apis/v1/httproute_types.go (precedence of matches), grpcroute_types.go; GAMMA (GEP-1324) for Services as
parents.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from meshslo.analysis.policy.deployed import PathKind, RouteRule
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries, first_label, scalars

GROUP: Final = "gateway.networking.k8s.io"
KINDS: Final = ("HTTPRoute", "GRPCRoute")
AI_MODEL_HEADER: Final = "x-ai-eg-model"
"""What Envoy AI Gateway fills from the request's body."""

_PATH_KINDS: Final[dict[str, PathKind]] = {"Exact": "exact", "PathPrefix": "prefix", "RegularExpression": "regex"}
_RANK: Final[dict[PathKind, int]] = {"exact": 0, "regex": 1, "prefix": 2, "any": 3}


@dataclass(frozen=True)
class FoundRule:
    """A rule of a route resource, one of its matches (empty: everything), and the routes it is part of."""

    manifest: Manifest
    rule: Any
    match: Any

    @property
    def callees(self) -> tuple[str, ...]:
        """The services that the rule leads to."""
        return tuple(str(ref.get("name", "")) for ref in entries(self.rule, "backendRefs"))

    def parents(self, kind: str) -> frozenset[str]:
        """Names of the parents of a kind; a parent that names none is a Gateway."""
        refs = entries(self.manifest.spec, "parentRefs")
        return frozenset(str(ref.get("name", "")) for ref in refs if ref.get("kind", "Gateway") == kind)

    def as_rule(self, model_header: str) -> RouteRule:
        """What it matches, without settings."""
        kind, path = _path(self.match)
        models, others = _headers(self.match, model_header)
        hosts = frozenset(map(first_label, scalars(self.manifest.spec, "hostnames"))) - {"*"}
        return RouteRule(
            callee=self.callees[0] if self.callees else "",
            hosts=hosts | self.parents("Service"),
            path_kind=kind,
            path=path,
            model=models[0] if models else None,
            partial=others or ("method" in self.match and self.manifest.kind == "HTTPRoute") or "queryParams" in self.match,
            name=self.manifest.name,
        )


def find_rules(manifest: Manifest) -> Iterator[FoundRule]:
    """Each match of each rule of a route; a list of matches is a choice."""
    for rule in entries(manifest.spec, "rules"):
        for match in entries(rule, "matches") or [{}]:
            yield FoundRule(manifest, rule, match)


def in_order(rules: list[RouteRule]) -> list[RouteRule]:
    """Rules as a gateway matches them: exact paths, patterns, then the longest prefix; of equal ones those with headers."""
    return sorted(rules, key=lambda rule: (_RANK[rule.path_kind], -len(rule.path), rule.model is None and not rule.partial))


def _path(match: Any) -> tuple[PathKind, str]:
    if "method" in match and isinstance(match["method"], dict):
        method = child(match, "method")
        whole = method.get("service") and method.get("method") and method.get("type", "Exact") == "Exact"
        return ("exact", f"/{method['service']}/{method['method']}") if whole else ("any", "")
    path = child(match, "path")
    if not path:
        return "any", ""
    return _PATH_KINDS.get(str(path.get("type", "PathPrefix")), "regex"), str(path.get("value", "/"))


def _headers(match: Any, model_header: str) -> tuple[list[str], bool]:
    """Models that the header conditions name, and whether there are other conditions."""
    models, others = [], False
    for header in entries(match, "headers"):
        if str(header.get("name", "")).lower() in (model_header, AI_MODEL_HEADER) and header.get("type", "Exact") == "Exact":
            models.append(str(header.get("value", "")))
        else:
            others = True
    return models, others
