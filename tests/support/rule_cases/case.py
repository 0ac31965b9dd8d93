"""What a case of a rule is, and beginnings of manifests."""

from dataclasses import dataclass, field

VS = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: generator, namespace: rag}
spec:
  hosts: [generator]
  http:
"""
DR = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: generator, namespace: rag}
spec:
  host: generator
"""
HTTP_ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: chat}
spec:
  parentRefs: [{name: edge}]
  rules:
"""
ALLOW = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: generator, namespace: rag}
spec:
  selector: {matchLabels: {app: generator}}
"""
STRICT = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
"""
ENVOY = """\
static_resources:
  listeners:
    - route_config:
        virtual_hosts:
          - name: generator
            routes:
              - match: {prefix: /}
                route: {cluster: generator, timeout: 45s}
"""


@dataclass(frozen=True)
class Case:
    """A manifest with a mistake on the line with `at`, what is said of it, and the text to put in place to mend it."""

    code: str
    text: str
    at: str
    says: str
    mend: tuple[str, str]
    versions: dict[str, str] = field(default_factory=dict)
