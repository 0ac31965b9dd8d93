"""MS414: principals that match nobody."""

from collections.abc import Iterator

from meshslo.analysis.check.authorization import sources
from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import scalars
from meshslo.analysis.policy.readers.istio_security import GROUP


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:  # noqa: ARG001 - the contract's
    for _, source in sources(manifest):
        for field in ("principals", "notPrincipals"):
            for name in scalars(source, field):
                if problem := _problem(name):
                    yield Hit(manifest.place(source, field), f'"{name}" {problem}')
        if source.get("serviceAccounts") and (source.get("principals") or source.get("namespaces")):
            yield Hit(manifest.place(source, "serviceAccounts"), "serviceAccounts beside principals or namespaces is refused")


def _problem(name: str) -> str | None:
    if name.startswith("spiffe://"):
        return "begins with spiffe://, which principals leave out: it matches nobody"
    if "*" in name[1:-1]:
        return "has a * in the middle: only one at an end is a wildcard"
    if "*" not in name and ("/ns/" not in name or "/sa/" not in name):
        return "is no principal: write it as cluster.local/ns/NAMESPACE/sa/ACCOUNT"
    return None


RULE = Rule(
    code="MS414",
    name="principal-format",
    severity="error",
    finds="Principals with the prefix spiffe://, with a wildcard in the middle, or that are no "
    "TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT; serviceAccounts beside principals.",
    why="They match nobody: callers that were meant are answered 403, and those to deny get through.",
    instead="cluster.local/ns/NAMESPACE/sa/ACCOUNT, or serviceAccounts as NAMESPACE/ACCOUNT alone",
    evidence="istio/ztunnel#1901; pkg/config/validation/validation.go.",
    find=each(GROUP, "AuthorizationPolicy", inspect=_inspect),
)
