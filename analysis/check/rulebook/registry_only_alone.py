"""MS421: REGISTRY_ONLY taken for a boundary."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, scalars


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:
    if manifest.spec.get("outboundTrafficPolicy") is None:
        return
    policy = child(manifest.spec, "outboundTrafficPolicy")
    if policy.get("mode", "REGISTRY_ONLY") == "REGISTRY_ONLY" and not any(
        _limits_egress(m) for m in _policies(subject, manifest)
    ):
        yield Hit(
            manifest.place(manifest.spec, "outboundTrafficPolicy"),
            f"no NetworkPolicy keeps pods of {manifest.namespace} from going round their proxy",
        )


def _policies(subject: Subject, manifest: Manifest) -> Iterator[Manifest]:
    return (m for m in subject.of("networking.k8s.io", "NetworkPolicy") if m.namespace == manifest.namespace)


def _limits_egress(manifest: Manifest) -> bool:
    return "Egress" in scalars(manifest.spec, "policyTypes") or manifest.spec.get("egress") is not None


RULE = Rule(
    code="MS421",
    name="registry-only-alone",
    severity="info",
    finds="A Sidecar with REGISTRY_ONLY in a namespace for which the manifests hold no NetworkPolicy on egress.",
    why="REGISTRY_ONLY is no security boundary: a process that does not go through the proxy reaches any host.",
    instead="a NetworkPolicy that lets pods out to the mesh and the egress gateway only",
    evidence="sidecar.proto in istio/api says so.",
    find=each("networking.istio.io", "Sidecar", inspect=_inspect),
)
