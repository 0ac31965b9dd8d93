"""MS416: HTTP rules that a ztunnel cannot judge."""

from collections.abc import Iterator
from typing import Final

from meshslo.analysis.check.authorization import operations
from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child
from meshslo.analysis.policy.readers.istio_security import GROUP

HTTP: Final = ("methods", "notMethods", "paths", "notPaths", "hosts", "notHosts")


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:
    if manifest.spec.get("targetRefs") or manifest.namespace not in _ambient(subject):
        return
    for operation in operations(manifest):
        for field in HTTP:
            if operation.get(field):
                yield Hit(
                    manifest.place(operation, field), f"a ztunnel does not know {field}: it denies every call this is for"
                )


def _ambient(subject: Subject) -> set[str]:
    return {
        m.name
        for m in subject.of("v1", "Namespace")
        if child(m.body, "metadata", "labels").get("istio.io/dataplane-mode") == "ambient"
    }


RULE = Rule(
    code="MS416",
    name="ambient-selector",
    severity="error",
    finds="An AuthorizationPolicy with methods, paths or hosts and no targetRefs, in a namespace labelled for ambient mode.",
    why="Without targetRefs it is the ztunnel's, which sees connections only: it turns such rules into a denial of everything.",
    instead="targetRefs to the waypoint's Service or Gateway; principals at the ztunnel are the waypoint's then",
    evidence="istio/istio.io#16586, istio/istio.io#15072, istio/istio#47137.",
    find=each(GROUP, "AuthorizationPolicy", inspect=_inspect),
)
