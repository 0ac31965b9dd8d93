"""Which kinds of resources are known, in which versions of their API: what else there is in a mesh's groups is said.

Sources: the CRDs of Istio 1.30 and 1.31, Gateway API 1.6, Linkerd 2.20, Envoy Gateway 1.9 and Envoy AI Gateway 1.1.
"""

from typing import Final

from .manifest import Manifest

_VERSIONS: Final[dict[str, dict[str, str]]] = {
    "networking.istio.io": {
        "v1 v1beta1 v1alpha3": "VirtualService DestinationRule Gateway ServiceEntry Sidecar WorkloadEntry WorkloadGroup",
        "v1beta1": "ProxyConfig",
        "v1alpha3": "EnvoyFilter",
    },
    "security.istio.io": {"v1 v1beta1": "PeerAuthentication AuthorizationPolicy RequestAuthentication"},
    "telemetry.istio.io": {"v1 v1alpha1": "Telemetry"},
    "install.istio.io": {"v1alpha1": "IstioOperator"},
    "extensions.istio.io": {"v1alpha1": "WasmPlugin TrafficExtension"},
    "gateway.networking.k8s.io": {
        "v1 v1beta1": "HTTPRoute Gateway GatewayClass",
        "v1 v1beta1 v1alpha2": "ReferenceGrant",
        "v1 v1alpha3": "BackendTLSPolicy",
        "v1 v1alpha3 v1alpha2": "TLSRoute",
        "v1 v1alpha2": "GRPCRoute TCPRoute UDPRoute",
        "v1": "ListenerSet",
    },
    "gateway.networking.x-k8s.io": {"v1alpha1": "XBackendTrafficPolicy XListenerSet XMesh XBackend"},
    "policy.linkerd.io": {
        "v1beta3 v1beta2 v1beta1 v1alpha1": "Server HTTPRoute",
        "v1beta1 v1alpha1": "ServerAuthorization",
        "v1alpha1": "AuthorizationPolicy MeshTLSAuthentication NetworkAuthentication HTTPLocalRateLimitPolicy EgressNetwork",
    },
    "linkerd.io": {"v1alpha2 v1alpha1": "ServiceProfile"},
    "workload.linkerd.io": {"v1beta1 v1alpha1": "ExternalWorkload"},
    "gateway.envoyproxy.io": {
        "v1alpha1": "BackendTrafficPolicy ClientTrafficPolicy SecurityPolicy EnvoyProxy EnvoyPatchPolicy EnvoyExtensionPolicy "
        "Backend HTTPRouteFilter"
    },
    "aigateway.envoyproxy.io": {
        "v1beta1 v1alpha1": "AIGatewayRoute AIServiceBackend BackendSecurityPolicy GatewayConfig QuotaPolicy MCPRoute"
    },
    "inference.networking.k8s.io": {"v1": "InferencePool"},
    "inference.networking.x-k8s.io": {
        "v1alpha2 v1alpha1": "InferencePool InferenceModel InferenceObjective InferencePoolImport"
    },
}
"""API group -> versions, newest first -> kinds of meshes and gateways."""

MESH: Final = {
    (group, kind): tuple(versions.split())
    for group, by_versions in _VERSIONS.items()
    for versions, kinds in by_versions.items()
    for kind in kinds.split()
}
"""(API group, kind) -> its versions, newest first."""

KUBERNETES: Final = frozenset(
    {
        ("v1", "Service"),
        ("v1", "ConfigMap"),
        ("v1", "Namespace"),
        ("v1", "Pod"),
        ("apps", "Deployment"),
        ("apps", "StatefulSet"),
        ("apps", "DaemonSet"),
        ("networking.k8s.io", "NetworkPolicy"),
        ("monitoring.coreos.com", "PrometheusRule"),
    }
)
"""What rules look at besides. The core group is written "v1", without a group before it."""


def is_envoys(manifest: Manifest) -> bool:
    """Whether it is Envoy's own configuration."""
    return "static_resources" in manifest.body or "virtual_hosts" in manifest.body


def is_known(manifest: Manifest) -> bool:
    """Whether it is a kind that rules or readers look at."""
    return is_envoys(manifest) or (manifest.group, manifest.kind) in MESH or (manifest.group, manifest.kind) in KUBERNETES


def is_a_meshs(manifest: Manifest) -> bool:
    """Whether its API group is a mesh's or a gateway's, so that an unknown kind of it matters."""
    return manifest.group in _VERSIONS


def versions_of(manifest: Manifest) -> tuple[str, ...]:
    """Versions that are known of a mesh's kind, newest first; none of other kinds."""
    return MESH.get((manifest.group, manifest.kind), ())
