"""What meshes' versions can do, as data: fields with the release they came in, and defects with the releases that have them.

Sources: release notes and CRDs of Istio (releasenotes/notes/{retry-budget,retry-budget-percent,retry-budget-subset-merge,50506,
connection-settings}.yaml; 1.30.3 and 1.31.0-rc.0 crd-all.gen.yaml), Envoy Gateway (release notes; envoyproxy/gateway#4091),
Gateway API 1.6 (channels).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from meshslo.telemetry.errors import BadConfigError

Version = tuple[int, ...]

STABLE: Final = {
    "istio": "1.30.3",
    "linkerd": "2.20",
    "gateway-api": "1.6.1",
    "envoy-gateway": "1.9.0",
    "envoy": "1.40",
}
"""The newest release of each mesh that is no candidate: what policies are written for, and checked against, unasked."""


@dataclass(frozen=True)
class Field:
    """A field that not every release has: before `since` it is refused or, worse, dropped without a word."""

    mesh: str
    kind: str
    path: str
    """Where it stands below `spec`; `[]` is any member of a list."""
    since: str
    before: str
    """What happens to it in an older release."""


@dataclass(frozen=True)
class Defect:
    """Something that some releases do wrong: those in [`since`, `fixed`) of each pair."""

    mesh: str
    name: str
    releases: tuple[tuple[str, str], ...]
    what: str

    def has(self, version: Version) -> bool:
        """Whether a release is one of them."""
        return any(parse_version(since) <= version < parse_version(fixed) for since, fixed in self.releases)


FIELDS: Final = (
    Field("istio", "DestinationRule", "trafficPolicy.retryBudget", "1.27", "unknown: dropped, and retries stay unbounded"),
    Field(
        "istio",
        "DestinationRule",
        "trafficPolicy.retryBudget.budgetInterval",
        "1.31",
        "unknown: the budget is a share of the requests active at that moment",
    ),
    Field(
        "istio",
        "DestinationRule",
        "trafficPolicy.outlierDetection.outlierDetectionHttpErrorCodes",
        "1.32",
        "in the schema of 1.31.0-rc.0, and no code reads it",
    ),
    Field(
        "istio",
        "DestinationRule",
        "trafficPolicy.connectionPool.http.http2KeepAlive",
        "1.31",
        "unknown: dead peers under long streams are not noticed",
    ),
    Field("istio", "DestinationRule", "trafficPolicy.loadBalancer.zoneAwareLbSetting", "1.31", "unknown: dropped"),
    Field("istio", "VirtualService", "http[].retries.backoff", "1.26", "unknown: retries follow after 25 ms"),
    Field("istio", "VirtualService", "http[].retries.retryIgnorePreviousHosts", "1.26", "unknown: dropped"),
    Field("envoy-gateway", "BackendTrafficPolicy", "timeout.http.requestTimeout", "1.2", "unknown: dropped, and 15 s hold"),
    Field("envoy-gateway", "BackendTrafficPolicy", "timeout.http.streamIdleTimeout", "1.8", "unknown: dropped without a word"),
    Field("envoy-gateway", "BackendTrafficPolicy", "circuitBreaker.retryBudget", "1.8", "unknown: dropped without a word"),
    Field(
        "envoy",
        "Cluster",
        "circuit_breakers.thresholds[].retry_budget.budget_interval",
        "1.40",
        "unknown: the budget is a share of the requests active at that moment",
    ),
    Field("gateway-api", "HTTPRoute", "rules[].timeouts", "1.2", "experimental: dropped in the standard channel"),
)
"""Every such field that policies here may use."""

SAFE_503: Final = Defect(
    "istio",
    "default-retry-503",
    (("0", "1.24"),),
    "the retries that hold unasked repeat any call, POST too, after a 503",
)
BUDGET_PERCENT: Final = Defect(
    "istio",
    "budget-percent",
    (("1.27.0", "1.28.6"), ("1.29.0", "1.29.2")),
    "a retryBudget without `percent` is 0.2 %, not 20 %",
)
BUDGET_SUBSET: Final = Defect(
    "istio",
    "budget-subset",
    (("1.27.0", "1.29.2"),),
    "the retryBudget of a host is dropped where its subset has a trafficPolicy, and one in a subset is ignored",
)
POLICY_SHADOWS: Final = Defect(
    "envoy-gateway",
    "policy-shadows-timeouts",
    (("0", "1.2"),),
    "a BackendTrafficPolicy on a route with `timeouts` makes them disappear: 15 s hold",
)

DEFECTS: Final = (SAFE_503, BUDGET_PERCENT, BUDGET_SUBSET, POLICY_SHADOWS)


def newest_stable(mesh: str) -> str:
    """The newest release of a mesh that is no candidate; BadConfigError for a mesh that is not known.

    >>> newest_stable("istio")
    '1.30.3'
    """
    if mesh not in STABLE:
        raise BadConfigError(f'"{mesh}" is no mesh that is known here; there are {", ".join(sorted(STABLE))}')
    return STABLE[mesh]


def parse_version(text: str) -> Version:
    """A version as numbers to compare; BadConfigError where it does not begin with one.

    >>> parse_version("1.27.1"), parse_version("v1.30"), parse_version("1.31.0-rc.0")
    ((1, 27, 1), (1, 30), (1, 31, 0))
    """
    match = re.match(r"v?(\d+(?:\.\d+){0,2})", text)
    if match is None:
        raise BadConfigError(f'"{text}" is no version; write it as 1.30.3')
    return tuple(int(part) for part in match[1].split("."))


def has_field(mesh: str, path: str, version: Version) -> bool:
    """Whether a release of a mesh has the field at a path; True for fields that every one has.

    >>> has_field("istio", "trafficPolicy.retryBudget.budgetInterval", (1, 30, 3))
    False
    """
    return all(parse_version(field.since) <= version for field in FIELDS if (field.mesh, field.path) == (mesh, path))


def named_versions(pairs: Iterable[str]) -> dict[str, str]:
    """Versions by mesh from texts as "istio=1.30.3"; BadConfigError for an unknown mesh or what is no version.

    >>> named_versions(["istio=1.29", "istio=1.30.3"])
    {'istio': '1.30.3'}
    """
    found = {}
    for pair in pairs:
        mesh, is_pair, release = pair.partition("=")
        if not is_pair:
            raise BadConfigError(f'"{pair}" names no mesh; write it as istio=1.30.3')
        newest_stable(mesh)
        parse_version(release)
        found[mesh] = release
    return found
