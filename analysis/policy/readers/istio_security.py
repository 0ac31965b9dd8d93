"""Reads who may call whom on Istio, and which hosts outside: PeerAuthentication, AuthorizationPolicy, ServiceEntry, Sidecar.

Source: istio/api security/v1beta1, networking/v1 service_entry.proto and sidecar.proto. A policy's workload is the service
its selector names by one of the labels that Istio takes a workload's name from; without a selector it holds for every one.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from meshslo.analysis.policy.deployed import EVERY, ClusterRule, Deployed
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries, scalars
from meshslo.analysis.policy.values import Placed

GROUP: Final = "security.istio.io"
NETWORKING: Final = "networking.istio.io"

NAME_LABELS: Final = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
"""Labels that name a workload's service, the first there is."""

ANYBODY: Final = "*"
"""The principal of a rule that asks for none."""


def workload(manifest: Manifest) -> str:
    """The service that a policy is for: its selector's or its target's, else every one (`*`).

    A selector by other labels is returned as it stands, "tier=model": it is no service's name.
    """
    targets = [*entries(manifest.spec, "targetRefs"), *filter(None, [child(manifest.spec, "targetRef")])]
    if targets:
        return str(targets[0].get("name", ""))
    labels = child(manifest.spec, "selector", "matchLabels") or child(manifest.spec, "workloadSelector", "labels")
    named = next((str(labels[label]) for label in NAME_LABELS if label in labels), None)
    return named or ",".join(f"{key}={value}" for key, value in labels.items()) or EVERY


class IstioSecurityReader:
    """`mtls_strict` and `allowed_principals` of a callee, `allowed_egress_hosts` and `outbound_mode` of every caller."""

    def reads(self, manifest: Manifest) -> bool:
        """Whether it is one of these kinds."""
        return manifest.is_a(GROUP, "PeerAuthentication", "AuthorizationPolicy") or manifest.is_a(
            NETWORKING, "ServiceEntry", "Sidecar"
        )

    def read(self, manifests: list[Manifest], model_header: str) -> Deployed:  # noqa: ARG002 - the contract's
        """One entry for each policy, its lists as names in order with commas between."""
        modes = [rule for m in manifests if m.kind == "PeerAuthentication" for rule in _mode(m)]
        return Deployed(clusters=(*modes, *_principals(manifests), *_egress(manifests)))


def _mode(manifest: Manifest) -> Iterator[ClusterRule]:
    mtls = child(manifest.spec, "mtls")
    mode = str(mtls.get("mode", "UNSET"))
    # UNSET is the parent's, which another policy says.
    if mode != "UNSET":
        yield ClusterRule(workload(manifest), {"mtls_strict": Placed(mode, "names", manifest.place(mtls, "mode"))})


def _principals(manifests: Iterable[Manifest]) -> list[ClusterRule]:
    """Who may call each workload by its ALLOW policies together: one that matches is enough."""
    names: dict[str, set[str]] = {}
    places: dict[str, str] = {}
    for manifest in manifests:
        if manifest.kind == "AuthorizationPolicy" and manifest.spec.get("action", "ALLOW") == "ALLOW":
            names.setdefault(workload(manifest), set()).update(*(principals(rule) for rule in entries(manifest.spec, "rules")))
            places.setdefault(workload(manifest), manifest.place(manifest.body, "spec"))
    return [
        ClusterRule(callee, {"allowed_principals": Placed(",".join(sorted(found)), "names", places[callee])})
        for callee, found in names.items()
    ]


def principals(rule: Any) -> list[str]:
    """The identities that a rule of an AuthorizationPolicy lets in; `*` where some source of it asks for none."""
    sources = [child(each, "source") for each in entries(rule, "from")]
    found = [[*scalars(source, "principals"), *scalars(source, "serviceAccounts")] for source in sources]
    return [name for names in found for name in names or [ANYBODY]] or [ANYBODY]


def _egress(manifests: Iterable[Manifest]) -> Iterator[ClusterRule]:
    external = [m for m in manifests if m.kind == "ServiceEntry" and m.spec.get("location") != "MESH_INTERNAL"]
    hosts = sorted({host for manifest in external for host in scalars(manifest.spec, "hosts")})
    if hosts:
        place = external[0].place(external[0].spec, "hosts")
        yield ClusterRule(EVERY, {"allowed_egress_hosts": Placed(",".join(hosts), "names", place)})
    for manifest in manifests:
        if manifest.kind == "Sidecar" and manifest.spec.get("outboundTrafficPolicy") is not None:
            policy = child(manifest.spec, "outboundTrafficPolicy")
            # The enum's zero value is REGISTRY_ONLY: an empty block means it.
            mode = str(policy.get("mode", "REGISTRY_ONLY"))
            yield ClusterRule(workload(manifest), {"outbound_mode": Placed(mode, "names", manifest.place(policy, "mode"))})


READER = IstioSecurityReader()
