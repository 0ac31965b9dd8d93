"""Reads who may call whom on Linkerd: Servers, the AuthorizationPolicies for them, and the identities these ask for.

Source: linkerd.io reference/authorization-policy; linkerd2 policy-controller inbound/index.rs. An identity is
ACCOUNT.NAMESPACE.serviceaccount.identity.linkerd.DOMAIN, as proxies report it; a reference is written out so, too.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from meshslo.analysis.policy.deployed import ClusterRule, Deployed
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries, scalars
from meshslo.analysis.policy.values import Placed

from .istio_security import ANYBODY, NAME_LABELS
from .linkerd import GROUP

DOMAIN: Final = "serviceaccount.identity.linkerd.cluster.local"


class LinkerdSecurityReader:
    """`allowed_principals` of each Server's workload: the identities that its policies ask for, `*` where one asks for none."""

    def reads(self, manifest: Manifest) -> bool:
        """Whether it is one of the kinds that say so."""
        return manifest.is_a(GROUP, "Server", "AuthorizationPolicy", "MeshTLSAuthentication")

    def read(self, manifests: list[Manifest], model_header: str) -> Deployed:  # noqa: ARG002 - the contract's
        """One entry for each Server; one that nothing authorizes lets in nobody."""
        authentications = {m.name: m for m in manifests if m.kind == "MeshTLSAuthentication"}
        allowed: dict[str, set[str]] = {}
        for manifest in manifests:
            if manifest.kind == "AuthorizationPolicy":
                target = str(child(manifest.spec, "targetRef").get("name", ""))
                allowed.setdefault(target, set()).update(_principals(manifest, authentications))
        servers = [manifest for manifest in manifests if manifest.kind == "Server"]
        return Deployed(clusters=tuple(_server(server, allowed.get(server.name, set())) for server in servers))


def _server(server: Manifest, allowed: set[str]) -> ClusterRule:
    labels = child(server.spec, "podSelector", "matchLabels")
    callee = next((str(labels[label]) for label in NAME_LABELS if label in labels), server.name)
    placed = Placed(",".join(sorted(allowed)), "names", server.place(server.body, "spec"))
    return ClusterRule(callee, {"allowed_principals": placed})


def _principals(policy: Manifest, authentications: Mapping[str, Manifest]) -> Iterator[str]:
    """Identities that the policy's mutual TLS asks for; `*` where it asks for none."""
    asked = [ref for ref in entries(policy.spec, "requiredAuthenticationRefs") if ref.get("kind") != "NetworkAuthentication"]
    if not asked:
        yield ANYBODY
    for ref in asked:
        name, namespace = str(ref.get("name", "")), str(ref.get("namespace", policy.namespace))
        if ref.get("kind") == "ServiceAccount":
            yield f"{name}.{namespace}.{DOMAIN}"
        elif name in authentications:
            yield from _identities(authentications[name])


def _identities(authentication: Manifest) -> Iterator[str]:
    yield from scalars(authentication.spec, "identities")
    for ref in entries(authentication.spec, "identityRefs"):
        namespace = str(ref.get("namespace", authentication.namespace))
        # A reference to a namespace is all accounts of it.
        yield f"*.{ref.get('name')}.{DOMAIN}" if ref.get("kind") == "Namespace" else f"{ref.get('name')}.{namespace}.{DOMAIN}"


READER = LinkerdSecurityReader()
