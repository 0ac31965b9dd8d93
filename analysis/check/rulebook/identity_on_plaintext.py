"""MS413: rules on identity where plaintext has none."""

from collections.abc import Iterator

from meshslo.analysis.check.authorization import action, is_strict, sources
from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.readers.istio_security import GROUP


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:
    if is_strict(subject, manifest.namespace):
        return
    names = ("notPrincipals", "notNamespaces") if action(manifest) == "ALLOW" else ("principals", "namespaces")
    if action(manifest) not in ("ALLOW", "DENY"):
        return
    for _, source in sources(manifest):
        for name in names:
            if source.get(name) and not _is_guard(manifest, source):
                yield Hit(
                    manifest.place(source, name),
                    f"a caller in plaintext has no identity: it passes {name} of this {action(manifest)} rule",
                )


def _is_guard(manifest: Manifest, source: dict[str, object]) -> bool:
    """Whether it is the guard itself, which denies every caller without a namespace."""
    return action(manifest) == "DENY" and source.get("notNamespaces") == ["*"]


RULE = Rule(
    code="MS413",
    name="identity-on-plaintext",
    severity="error",
    finds="ALLOW with notPrincipals or notNamespaces, or DENY with principals or namespaces, where no PeerAuthentication "
    "among the manifests makes mutual TLS STRICT.",
    why="The identity of a plaintext caller is empty: it is none of those excluded, and none of those denied.",
    instead="mutual TLS STRICT for the namespace; until then a DENY rule with notNamespaces `*` beside it",
    evidence="Bulletin ISTIO-SECURITY-2021-004; istio/istio.io#9524.",
    find=each(GROUP, "AuthorizationPolicy", inspect=_inspect),
)
