"""Cases of the rules on breakers, outlier detection, locality and canaries."""

from .case import DR, ENVOY, VS, Case

PRIORITIES = (
    ENVOY
    + """\
  clusters:
    - name: generator
      load_assignment:
        endpoints:
          - {lb_endpoints: [{endpoint: {}}, {endpoint: {}}]}
          - {priority: 1, lb_endpoints: [{endpoint: {}}]}
"""
)
AI_ROUTE = """\
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIGatewayRoute
metadata: {name: models}
spec:
  rules:
    - backendRefs: [{name: openai}, {name: azure, priority: 1}]
"""
HEALTH = """\
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: models}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: models}]
  healthCheck: {passive: {consecutive5XxErrors: 3}}
---
"""

CASES = [
    Case(
        "MS311",
        ENVOY + "  clusters:\n    - {name: generator}\n",
        "{name: generator}",
        "at most 1024 calls of generator at a time",
        ("{name: generator}", "{name: generator, circuit_breakers: {thresholds: [{max_requests: 64}]}}"),
    ),
    Case(
        "MS313",
        DR + "  trafficPolicy: {connectionPool: {http: {http1MaxPendingRequests: 1}}}\n",
        "http1MaxPendingRequests",
        "only 1 call of generator may wait",
        ("Requests: 1", "Requests: 64"),
    ),
    Case(
        "MS314",
        DR + "  trafficPolicy: {outlierDetection: {maxEjectionPercent: 100}}\n",
        "outlierDetection",
        "all pods of generator may be ejected",
        ("100", "50"),
    ),
    Case(
        "MS314",
        DR
        + "  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}\n---\n"
        + "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: generator}\nspec: {replicas: 4}\n",
        "outlierDetection",
        "10 %, which nobody set, of 4 pods of generator are less than one",
        ("consecutive5xxErrors: 3", "consecutive5xxErrors: 3, maxEjectionPercent: 25"),
    ),
    Case(
        "MS315",
        DR + "  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 5}}\n",
        "outlierDetection",
        "answer 503 because their queue is full",
        ("consecutive5xxErrors: 5", "consecutive5xxErrors: 5, splitExternalLocalOriginErrors: true"),
    ),
    Case(
        "MS316",
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: generator\n  annotations:\n"
        "    balancer.linkerd.io/failure-accrual: consecutive\n",
        "consecutive",
        "answer 429 at once look fast",
        ("consecutive", "unified"),
    ),
    Case(
        "MS317",
        DR + "  trafficPolicy:\n    loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}\n",
        "failover",
        "no effect without outlierDetection",
        ("  trafficPolicy:\n", "  trafficPolicy:\n    outlierDetection: {consecutive5xxErrors: 5}\n"),
    ),
    Case(
        "MS317",
        PRIORITIES,
        "endpoints:",
        "priorities of generator have no effect",
        ("      load_assignment", "      health_checks: [{timeout: 1s}]\n      load_assignment"),
    ),
    Case(
        "MS317",
        AI_ROUTE,
        "backendRefs",
        "priorities of models have no effect without a BackendTrafficPolicy",
        ("apiVersion", HEALTH + "apiVersion"),
    ),
    Case(
        "MS323",
        DR
        + "  trafficPolicy:\n    loadBalancer: {localityLbSetting: {failoverPriority: [topology.kubernetes.io/zone]}}\n"
        + "    outlierDetection: {consecutive5xxErrors: 5}\n",
        "outlierDetection",
        "10 %, which nobody set, of all pods may be out",
        ("consecutive5xxErrors: 5", "maxEjectionPercent: 60"),
    ),
    Case(
        "MS323",
        PRIORITIES.replace(
            "      load_assignment", "      outlier_detection: {max_ejection_percent: 50}\n      load_assignment"
        ),
        "max_ejection_percent",
        "50 % of 3 endpoints may be out, and 2 are of the first priority",
        ("percent: 50", "percent: 67"),
    ),
    Case(
        "MS318",
        DR + "  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 5}}\n",
        "outlierDetection",
        "calls stay in their own zone",
        ("{outlierDetection", "{loadBalancer: {localityLbSetting: {enabled: false}}, outlierDetection"),
    ),
    Case(
        "MS319",
        DR + "  trafficPolicy: {loadBalancer: {localityLbSetting: {distribute: [{from: a/*, to: {a/*: 100}}]}}}\n",
        "distribute",
        "all calls from a/* go to a/*",
        ("{a/*: 100}", "{a/*: 95, b/*: 5}"),
    ),
    Case(
        "MS320",
        DR + "  trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}\n",
        "maxRequestsPerConnection",
        "closed after 1 calls",
        ("Connection: 1", "Connection: 1000"),
    ),
    Case(
        "MS321",
        VS + "    - route: [{destination: {host: generator}}]\n    - match: [{headers: {x-canary: {exact: 'yes'}}}]\n"
        "      route: [{destination: {host: canary}}]\n",
        "match",
        "one before it takes everything",
        ("    - route: [{destination: {host: generator}}]\n", ""),
    ),
    Case(
        "MS321",
        VS + "    - route: [{destination: {host: generator, subset: v2}}]\n---\n" + DR + "  subsets: [{name: v1}]\n",
        "subset: v2",
        "no DestinationRule of generator has a subset v2",
        ("subset: v2", "subset: v1"),
    ),
    Case(
        "MS322",
        DR
        + "  trafficPolicy:\n    connectionPool: {http: {http2MaxRequests: 8}}\n    portLevelSettings:\n"
        + "      - port: {number: 80}\n",
        "number: 80",
        "port 80 has no connectionPool",
        ("port: {number: 80}", "port: {number: 80}\n        connectionPool: {http: {http2MaxRequests: 8}}"),
    ),
]
