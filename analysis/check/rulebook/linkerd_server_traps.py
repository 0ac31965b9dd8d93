"""MS420: Linkerd Servers that let in nobody, or everybody."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries, scalars

GROUP = "policy.linkerd.io"


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:
    if manifest.kind == "Server" and manifest.name not in _authorised(subject) and manifest.spec.get("accessPolicy") is None:
        place = manifest.place(manifest.body, "spec")
        yield Hit(place, f"nothing authorises calls to Server {manifest.name}: all are denied, probes and scrapes too")
    if manifest.kind == "AuthorizationPolicy" and not entries(manifest.spec, "requiredAuthenticationRefs"):
        yield Hit(
            manifest.place(manifest.spec, "requiredAuthenticationRefs"), "an empty list of authentications lets everybody in"
        )
    if manifest.kind == "MeshTLSAuthentication" and "*" in scalars(manifest.spec, "identities"):
        yield Hit(manifest.place(manifest.spec, "identities"), "the identity * is any client in the mesh", severity="warning")


def _authorised(subject: Subject) -> set[str]:
    """Names of Servers that a policy, or the route of one, is for."""
    found = set()
    for manifest in subject.of(GROUP, "AuthorizationPolicy", "HTTPRoute"):
        found.add(str(child(manifest.spec, "targetRef").get("name")))
        found |= {str(ref.get("name")) for ref in entries(manifest.spec, "parentRefs")}
    for manifest in subject.of(GROUP, "ServerAuthorization"):
        found.add(str(child(manifest.spec, "server").get("name")))
    return found


RULE = Rule(
    code="MS420",
    name="linkerd-server-traps",
    severity="error",
    finds="A Server that no authorization is for; an AuthorizationPolicy with an empty requiredAuthenticationRefs; a "
    "MeshTLSAuthentication for `*`.",
    why="A Server denies what nothing authorises. An empty list of requirements is met by everybody.",
    instead="one AuthorizationPolicy a Server, with the ServiceAccounts that call it, and NetworkAuthentication for probes",
    evidence="linkerd.io reference/authorization-policy; linkerd/linkerd2 policy-controller inbound/index.rs.",
    find=each(GROUP, "Server", "AuthorizationPolicy", "MeshTLSAuthentication", inspect=_inspect),
)
