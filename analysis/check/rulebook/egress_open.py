"""MS418: calls that may go anywhere outside."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject, each_manifest
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child


def _inspect(manifest: Manifest, _: Subject) -> Iterator[Hit]:
    if manifest.is_a("policy.linkerd.io", "EgressNetwork") and manifest.spec.get("trafficPolicy") == "Allow":
        yield Hit(manifest.place(manifest.spec, "trafficPolicy"), f"EgressNetwork {manifest.name} lets every call out")
    policy = {}
    if manifest.is_a("networking.istio.io", "Sidecar"):
        policy = child(manifest.spec, "outboundTrafficPolicy")
    elif manifest.is_a("install.istio.io", "IstioOperator"):
        policy = child(manifest.spec, "meshConfig", "outboundTrafficPolicy")
    if policy.get("mode") == "ALLOW_ANY":
        yield Hit(manifest.place(policy, "mode"), f"{manifest.kind} {manifest.name} lets calls to any host out")


RULE = Rule(
    code="MS418",
    name="egress-open",
    severity="warning",
    finds="outboundTrafficPolicy ALLOW_ANY in a Sidecar or an IstioOperator; a Linkerd EgressNetwork with trafficPolicy Allow.",
    why="Prompts and tenants' data may leave to any host: a model provider that nobody approved looks like any other call.",
    instead="REGISTRY_ONLY with a ServiceEntry for each approved host, an egress gateway and a NetworkPolicy; EgressNetwork "
    "Deny with routes",
    evidence="istio/api#1813, istio/istio#43065, istio/istio#16472; sidecar.proto.",
    find=each_manifest(_inspect),
)
