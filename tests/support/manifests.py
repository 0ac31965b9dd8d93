"""One manifest of each mesh: what readers and rules are tested on."""

from tests.analysis.policy.test_deployed import ENVOY, ISTIO

LINKERD = """\
apiVersion: v1
kind: Service
metadata:
  name: generator
  annotations:
    timeout.linkerd.io/request: 30s
    retry.linkerd.io/http: gateway-error
    balancer.linkerd.io/failure-accrual: consecutive
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: chat
  annotations: {timeout.linkerd.io/request: 90s, timeout.linkerd.io/idle: 2s}
spec:
  parentRefs: [{kind: Service, group: "", name: generator}]
  rules:
    - matches: [{path: {type: Exact, value: /v1/chat}, headers: [{name: x-model, value: large}]}]
      backendRefs: [{name: generator, port: 80}]
---
apiVersion: linkerd.io/v1alpha2
kind: ServiceProfile
metadata: {name: retriever.rag.svc.cluster.local}
spec:
  routes:
    - name: search
      condition: {method: GET, pathRegex: /search}
      timeout: 300ms
      isRetryable: true
  retryBudget: {retryRatio: 0.1, minRetriesPerSecond: 2, ttl: 10s}
"""

GATEWAY_API = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: everything}
spec:
  parentRefs: [{kind: Service, group: "", name: generator}]
  rules:
    - backendRefs: [{name: generator, port: 80}]
      timeouts: {request: 10s, backendRequest: 4s}
      retry: {codes: [503]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: chat}
spec:
  parentRefs: [{kind: Service, group: "", name: generator}]
  rules:
    - matches: [{path: {type: PathPrefix, value: /v1/chat}}]
      backendRefs: [{name: generator, port: 80}]
      timeouts: {request: 1m30s}
---
apiVersion: gateway.networking.x-k8s.io/v1alpha1
kind: XBackendTrafficPolicy
metadata: {name: generator}
spec:
  targetRefs: [{group: "", kind: Service, name: generator}]
  retryConstraint: {budget: {percent: 2}, minRetryRate: {count: 5, interval: 10s}}
"""

ENVOY_GATEWAY = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: chat, labels: {team: ml}}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{name: generator, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: search}
spec:
  parentRefs: [{name: edge}]
  rules: [{matches: [{path: {value: /search}}], backendRefs: [{name: retriever, port: 80}]}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: ml}
spec:
  targetSelectors: [{kind: HTTPRoute, matchLabels: {team: ml}}]
  timeout: {tcp: {connectTimeout: 1s}, http: {requestTimeout: 0s, streamIdleTimeout: 20s}}
  retry:
    numRetries: 3
    perRetry: {timeout: 5s}
  circuitBreaker:
    maxParallelRequests: 50
    retryBudget: {percent: {numerator: 25, denominator: 1000}}
  healthCheck: {passive: {consecutive5XxErrors: 9}}
"""

AI_GATEWAY = """\
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIGatewayRoute
metadata: {name: models}
spec:
  parentRefs: [{name: edge, kind: Gateway, group: gateway.networking.k8s.io}]
  rules:
    - matches: [{headers: [{type: Exact, name: x-ai-eg-model, value: large}]}]
      backendRefs: [{name: large-pool}]
      streamIdleTimeout: 7s
"""

ISTIO_SECURITY = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: retriever, namespace: rag}
spec:
  selector: {matchLabels: {app: retriever}}
  mtls: {mode: PERMISSIVE}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: generator, namespace: rag}
spec:
  selector: {matchLabels: {app: generator}}
  action: ALLOW
  rules:
    - from: [{source: {principals: [cluster.local/ns/rag/sa/gateway]}}]
      to: [{operation: {methods: [POST], paths: [/v1/chat]}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: provider, namespace: rag}
spec:
  hosts: [api.provider.example]
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: rag}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
"""

LINKERD_SECURITY = """\
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: generator-http, namespace: rag}
spec: {podSelector: {matchLabels: {app: generator}}, port: 80}
---
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: {name: callers, namespace: rag}
spec:
  identityRefs: [{kind: ServiceAccount, name: gateway}, {kind: Namespace, name: batch}]
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: generator, namespace: rag}
spec:
  targetRef: {group: policy.linkerd.io, kind: Server, name: generator-http}
  requiredAuthenticationRefs: [{group: policy.linkerd.io, kind: MeshTLSAuthentication, name: callers}]
"""

EVERY_MESH = {
    "envoy.yaml": ENVOY,
    "istio.yaml": ISTIO,
    "linkerd.yaml": LINKERD,
    "gateway.yaml": GATEWAY_API,
    "envoy-gateway.yaml": ENVOY_GATEWAY,
    "ai-gateway.yaml": AI_GATEWAY,
    "security.yaml": ISTIO_SECURITY,
    "linkerd-security.yaml": LINKERD_SECURITY,
}
"""File name -> text."""
