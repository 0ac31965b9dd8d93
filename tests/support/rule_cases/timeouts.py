"""Cases of the rules on timeouts."""

from .case import DR, ENVOY, HTTP_ROUTE, VS, Case

CASES = [
    Case(
        "MS112",
        ENVOY.replace(", timeout: 45s", ""),
        "route: {cluster",
        "end after 15 s, which nobody set",
        ("cluster: generator", "cluster: generator, timeout: 0s"),
    ),
    Case(
        "MS115",
        VS + "    - route: [{destination: {host: generator}}]\n      retries: {attempts: 0}\n",
        "retries",
        "neither a total nor an idle timeout",
        ("retries: {attempts: 0}", "timeout: 60s"),
    ),
    Case(
        "MS118",
        DR + "  trafficPolicy:\n    retryBudget:\n      percent: 5\n      budgetInterval: 10s\n",
        "budgetInterval",
        "is of istio 1.31 and later; in 1.30.3 it is unknown",
        ("      budgetInterval: 10s\n", ""),
    ),
    Case(
        "MS118",
        HTTP_ROUTE.replace("{name: chat}", "{name: chat, annotations: {timeout.linkerd.io/idle: 2s}}")
        + "    - backendRefs: [{name: generator}]\n      retry: {attempts: 1}\n",
        "retry: {",
        "Linkerd reads `retry` of a route and does nothing with it",
        ("      retry: {attempts: 1}\n", ""),
    ),
    Case(
        "MS119",
        HTTP_ROUTE
        + "    - timeouts: {request: 60s}\n      backendRefs: [{name: generator}]\n---\n"
        + "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: BackendTrafficPolicy\nmetadata: {name: p}\n"
        + "spec: {targetRefs: [{kind: HTTPRoute, name: chat}]}\n",
        "spec: {targetRefs",
        "the timeouts of HTTPRoute chat are lost",
        ("name: chat}]", "name: other}]"),
        {"envoy-gateway": "1.1.2"},
    ),
    Case(
        "MS120",
        HTTP_ROUTE
        + "    - backendRefs: [{name: generator}]\n      timeouts:\n        request: 60s\n        backendRequest: 5s\n",
        "backendRequest",
        "the whole call ends after 5s, not after 60s",
        ("      timeouts:\n", "      retry: {attempts: 1}\n      timeouts:\n"),
    ),
    Case(
        "MS121",
        VS
        + "    - route: [{destination: {host: generator}}]\n      timeout: 90s\n---\n"
        + "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: generator}\n"
        + "spec:\n  template:\n    spec:\n      terminationGracePeriodSeconds: 60\n",
        "terminationGracePeriodSeconds",
        "killed 60 s after they are asked to stop, and calls may take 90 s",
        ("Seconds: 60", "Seconds: 120"),
    ),
    Case(
        "MS122",
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: ClientTrafficPolicy\nmetadata: {name: c}\n"
        "spec:\n  timeout:\n    http: {requestReceivedTimeout: 10s}\n",
        "requestReceivedTimeout",
        "not wholly there after 10 s",
        ("requestReceivedTimeout: 10s", "idleTimeout: 1h"),
    ),
    Case(
        "MS123",
        HTTP_ROUTE + "    - backendRefs: [{name: generator}]\n      timeouts: {request: 1.5s}\n",
        "1.5s",
        "no decimals",
        ("1.5s", "1500ms"),
    ),
    Case(
        "MS123",
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: generator\n  annotations:\n    timeout.linkerd.io/request: 1m30s\n",
        "1m30s",
        "one whole number and one unit",
        ("1m30s", "90s"),
    ),
]
