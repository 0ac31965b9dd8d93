"""MS417: HTTP rules on ports that are not known to speak HTTP."""

from collections.abc import Iterator
from typing import Final

from meshslo.analysis.check.authorization import action, operations
from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries
from meshslo.analysis.policy.readers.istio_security import GROUP, NAME_LABELS, workload

HTTP: Final = ("http", "http2", "grpc", "grpc-web")
FIELDS: Final = ("methods", "paths", "hosts")


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:
    opaque = sorted(set(_opaque_ports(manifest, subject)))
    if not opaque:
        return
    for operation in operations(manifest):
        for field in FIELDS:
            if operation.get(field):
                effect = "never matches" if action(manifest) == "ALLOW" else "matches more than it says"
                yield Hit(
                    manifest.place(operation, field), f"on port {', '.join(opaque)}, which is not declared HTTP, this {effect}"
                )


def _opaque_ports(manifest: Manifest, subject: Subject) -> Iterator[str]:
    """Ports of the workload's Services in its namespace that neither a name nor appProtocol declares HTTP."""
    name = workload(manifest)
    for service in subject.of("v1", "Service"):
        selector = child(service.spec, "selector")
        mine = service.name == name or name in {str(selector.get(label)) for label in NAME_LABELS}
        if mine and service.namespace == manifest.namespace:
            for port in entries(service.spec, "ports"):
                declared = str(port.get("appProtocol") or str(port.get("name", "")).partition("-")[0])
                if declared.removeprefix("kubernetes.io/") not in (*HTTP, "h2c"):
                    yield str(port.get("port", "?"))


RULE = Rule(
    code="MS417",
    name="http-rule-on-tcp",
    severity="warning",
    finds="An AuthorizationPolicy with methods, paths or hosts for a workload whose Service has a port that neither its name"
    " nor appProtocol declares HTTP.",
    why="On such a port there is no HTTP to look at: an ALLOW rule never matches, a DENY rule matches more.",
    instead="the port's name or appProtocol as http, http2 or grpc",
    evidence="istio/istio#53048.",
    find=each(GROUP, "AuthorizationPolicy", inspect=_inspect),
)
