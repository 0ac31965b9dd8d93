"""Reads who may call whom on Linkerd: Servers, the AuthorizationPolicies for them, and the identities these ask for.

Source: linkerd.io reference/authorization-policy; linkerd2 policy-controller inbound/index.rs. An identity is
ACCOUNT.NAMESPACE.serviceaccount.identity.linkerd.DOMAIN, as proxies report it; a reference is written out so, too.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshslo.analysis.policy.deployed import ClusterRule, Deployed
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries, scalars
from meshslo.analysis.policy.settings import STRICT
from meshslo.analysis.policy.values import Placed

from .istio_security import ANYBODY, NAME_LABELS
from .linkerd import GROUP

DOMAIN: Final = "serviceaccount.identity.linkerd.cluster.local"


class LinkerdSecurityReader:
    """`allowed_principals` of each Server's workload: the identities that its policies ask for, `*` where one asks for none.

    `mtls_strict` where all of them ask for one.
    """

    def reads(self, manifest: Manifest) -> bool:
        """Whether it is one of the kinds that say so."""
        return manifest.is_a(GROUP, "Server", "AuthorizationPolicy", "MeshTLSAuthentication")

    def read(self, manifests: list[Manifest], model_header: str) -> Deployed:  # noqa: ARG002 - the contract's
        """One entry for each Server; one that nothing authorizes lets in nobody."""
        authentications = {m.name: m for m in manifests if m.kind == "MeshTLSAuthentication"}
        policies: dict[str, list[Manifest]] = {}
        for manifest in manifests:
            if manifest.kind == "AuthorizationPolicy":
                policies.setdefault(str(child(manifest.spec, "targetRef").get("name", "")), []).append(manifest)
        servers = [manifest for manifest in manifests if manifest.kind == "Server"]
        return Deployed(clusters=tuple(_server(server, policies.get(server.name, []), authentications) for server in servers))


def _server(server: Manifest, policies: list[Manifest], authentications: Mapping[str, Manifest]) -> ClusterRule:
    labels = child(server.spec, "podSelector", "matchLabels")
    callee = next((str(labels[label]) for label in NAME_LABELS if label in labels), server.name)
    allowed = {name for policy in policies for name in _principals(policy, authentications)}
    place = server.place(server.body, "spec")
    settings = {"allowed_principals": Placed(",".join(sorted(allowed)), "names", place)}
    # What nothing authorizes is denied unless the Server says otherwise: "audit" lets it in.
    if server.spec.get("accessPolicy", "deny") == "deny" and policies and all(map(_asked, policies)):
        settings["mtls_strict"] = Placed(STRICT, "names", place)
    return ClusterRule(callee, settings)


def _asked(policy: Manifest) -> list[Any]:
    """What the policy asks for of mutual TLS."""
    return [ref for ref in entries(policy.spec, "requiredAuthenticationRefs") if ref.get("kind") != "NetworkAuthentication"]


def _principals(policy: Manifest, authentications: Mapping[str, Manifest]) -> Iterator[str]:
    """Identities that the policy's mutual TLS asks for; `*` where it asks for none."""
    asked = _asked(policy)
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
