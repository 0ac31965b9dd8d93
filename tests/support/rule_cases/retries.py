"""Cases of the rules on retries."""

from .case import DR, HTTP_ROUTE, VS, Case

CASES = [
    Case(
        "MS211",
        VS + '    - route: [{destination: {host: generator}}]\n      retries: {attempts: 1, retryOn: "5xx,connect-failure"}\n',
        "retries",
        "are repeated after 5xx, when it may have begun",
        ("5xx,", ""),
    ),
    Case(
        "MS213",
        VS + "    - route: [{destination: {host: generator}}]\n      retries: {attempts: 3}\n",
        "retries",
        "repeated up to 3 times each and no budget",
        ("attempts: 3", "attempts: 0"),
    ),
    Case(
        "MS214",
        VS
        + "    - route: [{destination: {host: generator}}]\n      timeout: 5s\n"
        + "      retries: {attempts: 2, perTryTimeout: 4s}\n",
        "perTryTimeout",
        "3 attempts at generator of 4 s each need 12.1 s",
        ("timeout: 5s", "timeout: 13s"),
    ),
    Case(
        "MS215",
        VS + "    - route: [{destination: {host: generator}}]\n      timeout: 60s\n",
        "- route",
        "repeated twice after any 503",
        ("timeout: 60s", "retries: {attempts: 0}"),
        {"istio": "1.23.2"},
    ),
    Case(
        "MS216",
        HTTP_ROUTE
        + "    - backendRefs: [{name: generator}]\n---\n"
        + "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: BackendTrafficPolicy\nmetadata: {name: p}\n"
        + "spec:\n  targetRefs: [{kind: HTTPRoute, name: chat}]\n  retry: {numRetries: 2}\n",
        "retry: {numRetries",
        "repeated after a 503, which nobody chose",
        ("numRetries: 2", "numRetries: 2, retryOn: {triggers: [connect-failure]}"),
    ),
    Case(
        "MS217",
        DR + "  trafficPolicy: {retryBudget: {minRetryConcurrency: 1}}\n",
        "retryBudget",
        "leaves `percent` to the release",
        ("minRetryConcurrency: 1", "percent: 5"),
    ),
    Case(
        "MS218",
        DR
        + "  trafficPolicy: {retryBudget: {percent: 5}}\n  subsets: [{name: v1, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}]\n",
        "subsets",
        "calls of subset v1 have no retry budget",
        (", trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}", ""),
        {"istio": "1.28.3"},
    ),
    Case(
        "MS219",
        DR + "  trafficPolicy: {retryBudget: {percent: 5}}\n",
        "retryBudget",
        "share of calls in progress",
        ("percent: 5", "percent: 5, budgetInterval: 10s"),
    ),
    Case(
        "MS221",
        "apiVersion: v1\nkind: Service\nmetadata: {name: generator, annotations: {timeout.linkerd.io/request: 30s}}\n---\n"
        "apiVersion: linkerd.io/v1alpha2\nkind: ServiceProfile\nmetadata: {name: generator.rag.svc.cluster.local}\n"
        "spec: {routes: []}\n",
        "name: generator.rag",
        "switches off what Service generator",
        ("name: generator.rag", "name: retriever.rag"),
    ),
    Case(
        "MS222",
        VS + '    - route: [{destination: {host: generator}}]\n      retries: {attempts: 1, retryOn: "reset, 503"}\n',
        "retryOn",
        'retryOn has " 503", which is no condition',
        ("reset, 503", "reset,503"),
    ),
    Case(
        "MS223",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: linkerd-destination}\nspec:\n  template:\n    spec:\n"
        "      containers:\n        - name: policy\n          args: [--allow-l5d-request-headers]\n",
        "args",
        "every caller chooses its own timeouts and retries",
        ("--allow-l5d-request-headers", "--log-level=info"),
    ),
    Case(
        "MS224",
        VS + "    - route: [{destination: {host: generator}}]\n      mirror: {host: canary}\n",
        "mirror",
        "every call is mirrored",
        ("mirror: {host: canary}", "mirrors: [{destination: {host: canary}, percentage: {value: 1}}]"),
    ),
]
