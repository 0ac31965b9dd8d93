"""A thousand manifests (routes, destinations, policies of Istio and the Gateway API) checked against all rules."""

import statistics
import time
from typing import Any, Final

from meshslo.analysis.check import check, rules

SERVICES: Final = 250
RUNS: Final = 3
NEEDED_S: Final = 5.0

VIRTUAL_SERVICE: Final = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: {name}
  namespace: rag
spec:
  hosts:
    - {name}.rag.svc.cluster.local
  http:
    - name: large
      match:
        - uri:
            exact: /v1/chat
          headers:
            x-model:
              exact: large
      route:
        - destination:
            host: {name}.rag.svc.cluster.local
            subset: v1
      timeout: 90s
      retries:
        attempts: 2
        retryOn: connect-failure,refused-stream,503
    - route:
        - destination:
            host: {name}.rag.svc.cluster.local
            subset: v1
      timeout: 30s
"""
DESTINATION_RULE: Final = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: {name}
  namespace: rag
spec:
  host: {name}.rag.svc.cluster.local
  trafficPolicy:
    connectionPool:
      http:
        http2MaxRequests: 100
    outlierDetection:
      consecutive5xxErrors: 5
      maxEjectionPercent: 20
  subsets:
    - name: v1
      labels:
        version: v1
"""
HTTP_ROUTE: Final = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: {name}
spec:
  parentRefs:
    - name: edge
  rules:
    - matches:
        - path:
            type: PathPrefix
            value: /{name}
      backendRefs:
        - name: {name}
          port: 80
      timeouts:
        request: 60s
"""
AUTHORIZATION: Final = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: {name}
  namespace: rag
spec:
  selector:
    matchLabels:
      app: {name}
  rules:
    - from:
        - source:
            principals:
              - cluster.local/ns/rag/sa/gateway
      to:
        - operation:
            methods:
              - POST
"""
KINDS: Final = {"vs": VIRTUAL_SERVICE, "dr": DESTINATION_RULE, "route": HTTP_ROUTE, "authz": AUTHORIZATION}


def manifests() -> dict[str, str]:
    """One file a manifest."""
    names = [f"service-{n}" for n in range(SERVICES)]
    return {f"{name}/{kind}.yaml": text.format(name=name) for name in names for kind, text in KINDS.items()}


def run() -> dict[str, Any]:
    """Median seconds of a whole check, wall clock, from texts in memory to findings."""
    texts = manifests()
    took, findings = [], 0
    for _ in range(RUNS):
        began = time.perf_counter()
        findings = len(check(texts).items)
        took.append(time.perf_counter() - began)
    return {
        "manifests": len(texts),
        "lines": sum(text.count("\n") for text in texts.values()),
        "rules": len(rules()),
        "findings": findings,
        "check_s": statistics.median(took),
        "needed_s": NEEDED_S,
    }
